-- name: all_parents
-- purpose: Every node that links lead up to from any of the nodes given
-- parameters: $1 starts bigint[]: pks of the nodes to start from
--     $2 link_types text[]: the types of links to follow, null for all
-- result: node bigint; one row per node, ascending; a start only where links lead to it
with recursive ancestor (node, is_start) as (
    -- Where to begin. A start that does not exist has no links and goes nowhere.
    select
        asked.start,
        true
    from unnest($1::bigint[]) as asked (start)

    -- Without `all`: what was reached once is dropped, so cycles end and diamonds do not multiply.
    union

    select
        found.node,
        false
    from ancestor
    inner join lateral (
        -- The fence keeps the planner, which cannot know how many nodes are reached, from reading
        -- the whole table of links for a hash join: one probe of the index for each.
        select link.input_id::bigint as node
        from db_dblink as link
        where link.output_id = ancestor.node
            and ($2::text[] is null or link.type = any($2::text[]))
        offset 0
    ) as found on true
)

select ancestor.node
from ancestor
where not ancestor.is_start
order by ancestor.node
