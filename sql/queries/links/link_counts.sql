-- name: link_counts
-- purpose: How many links of each type lead to some nodes, and away from them
-- parameters: $1 nodes text: pks of the nodes, as the text of an array, since asyncpg writes a long
--     array in one go
-- result: node int, incoming bool, type text, links bigint; one row per node, direction and type,
--     by these; a node without links has one row, in which all but node is null, and a node that
--     does not exist has none
select
    node.pk as node,
    counted.incoming,
    counted.type,
    counted.links
from unnest($1::text::int[]) as asked (pk)
-- The fence, and the aggregates below, keep the planner, which cannot know how many links there
-- are, from reading whole tables for a hash join.
inner join lateral (
    select db_dbnode.id as pk
    from db_dbnode
    where db_dbnode.id = asked.pk
    offset 0
) as node on true
left join lateral (
    select
        true as incoming,
        coalesce(db_dblink.type, '')::text as type,
        count(*) as links
    from db_dblink
    where db_dblink.output_id = node.pk
        -- In the sqlalchemy line a link may lack an end: it is a link of no node.
        and db_dblink.input_id is not null
    group by coalesce(db_dblink.type, '')::text

    union all

    select
        false,
        coalesce(db_dblink.type, '')::text,
        count(*)
    from db_dblink
    where db_dblink.input_id = node.pk
        and db_dblink.output_id is not null
    group by coalesce(db_dblink.type, '')::text
) as counted on true
order by
    node.pk,
    counted.incoming,
    counted.type
