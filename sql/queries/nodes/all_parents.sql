-- name: all_parents
-- purpose: Every node that links lead up to from any of the nodes given
-- parameters: $1 starts text: pks of the nodes to start from, as the text of an array, since
--     asyncpg writes a long array in one go
--     $2 link_types text[]: the types of links to follow, null for all
-- result: nodes bytea; one row: the pks, ascending, four bytes each, the highest first, null where
--     there are none; a start only where links lead to it
with recursive ancestor (node, is_start) as (
    -- Where to begin. A start that does not exist has no links and goes nowhere.
    select
        asked.start,
        true
    from unnest($1::text::int[]) as asked (start)

    -- Without `all`: what was reached once is dropped, so cycles end and diamonds do not multiply.
    union

    select
        found.node,
        false
    from ancestor
    inner join lateral (
        -- The fence keeps the planner, which cannot know how many nodes are reached, from reading
        -- the whole table of links for a hash join: one probe of the index for each.
        select link.input_id as node
        from db_dblink as link
        where link.output_id = ancestor.node
            and ($2::text[] is null or link.type = any($2::text[]))
        offset 0
    ) as found on true
)

select string_agg(int4send(ancestor.node), '' order by ancestor.node) as nodes
from ancestor
where not ancestor.is_start
