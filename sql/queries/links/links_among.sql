-- name: links_among
-- purpose: The links that begin and end at some nodes
-- parameters: $1 nodes text: pks of the nodes, as the text of an array, since asyncpg writes a long
--     array in one go
--     $2 link_types text[]: the types of links, null for all
-- result: pk int, input_id int, output_id int, type text, label text; one row per link, by pk
with node (pk) as materialized (
    -- Once for both ends.
    select asked.pk
    from unnest($1::text::int[]) as asked (pk)
)

select
    link.pk,
    link.input_id,
    node.pk as output_id,
    link.type,
    link.label
from node
inner join lateral (
    -- By the nodes that links lead to: a node has few inputs, and may be the input of very many.
    -- The fence makes one probe of the index for each, never a scan.
    select
        db_dblink.id as pk,
        db_dblink.input_id,
        coalesce(db_dblink.type, '')::text as type,
        db_dblink.label::text as label
    from db_dblink
    where db_dblink.output_id = node.pk
        and ($2::text[] is null or db_dblink.type = any($2::text[]))
    offset 0
) as link on true
-- With `is true` it remains a look-up in a hash table. In a join the planner, which expects ten
-- nodes, would go through all of them for each link.
where (link.input_id in (select input.pk from node as input)) is true
order by link.pk
