-- name: links_of_nodes
-- purpose: The links of some nodes in one direction, each with the node at its other end
-- parameters: $1 nodes text: pks of the nodes, as the text of an array, since asyncpg writes a long
--     array in one go
--     $2 incoming bool: the links that lead to the nodes, else those that lead away from them
--     $3 link_types text[]: the types of links, null for all
--     $4 most bigint: how many links of each node, null for all
-- result: start int, type text, label text, pk int, uuid text, node_type text, node_label text; one
--     row per link, by node and link; a node without links has one row, in which all but start is
--     null, and a node that does not exist has none
select
    found.start,
    found.type,
    found.label,
    other.pk,
    other.uuid,
    other.node_type,
    other.label as node_label
from (
    -- Sorted before the other nodes are looked up, while the rows are short.
    select
        node.pk as start,
        link.id as link,
        link.type,
        link.label,
        link.other
    from unnest($1::text::int[]) as asked (pk)
    -- The fences, here and below, keep the planner, which cannot know how many links there are,
    -- from reading whole tables for a hash join: one probe of an index for each node and each link.
    inner join lateral (
        select db_dbnode.id as pk
        from db_dbnode
        where db_dbnode.id = asked.pk
        offset 0
    ) as node on true
    left join lateral (
        -- Not sorted before the limit: of a node with very many links, no more than that are read.
        -- They come in the order of the index, which is that in which they were stored.
        (
            select
                db_dblink.id,
                coalesce(db_dblink.type, '')::text as type,
                db_dblink.label::text as label,
                db_dblink.input_id as other
            from db_dblink
            where $2::bool
                and db_dblink.output_id = node.pk
                -- In the sqlalchemy line a link may lack an end: it is a link of no node.
                and db_dblink.input_id is not null
                and ($3::text[] is null or db_dblink.type = any($3::text[]))
            limit $4::bigint
        )
        union all
        (
            select
                db_dblink.id,
                coalesce(db_dblink.type, '')::text,
                db_dblink.label::text,
                db_dblink.output_id
            from db_dblink
            where not $2::bool
                and db_dblink.input_id = node.pk
                and db_dblink.output_id is not null
                and ($3::text[] is null or db_dblink.type = any($3::text[]))
            limit $4::bigint
        )
    ) as link on true
    order by
        node.pk,
        link.id
) as found
left join lateral (
    select
        db_dbnode.id as pk,
        coalesce(db_dbnode.uuid::text, '') as uuid,
        coalesce(db_dbnode.node_type, '')::text as node_type,
        coalesce(db_dbnode.label, '')::text as label
    from db_dbnode
    where db_dbnode.id = found.other
    offset 0
) as other on true
-- The rows already come in this order: nothing is sorted again.
order by
    found.start,
    found.link
