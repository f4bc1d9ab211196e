-- name: closest_parents
-- purpose: For each start the match that is the least number of links away, up the provenance
--     graph; the lowest pk among several
-- parameters: $1 starts bigint[]: pks of the nodes to start from
--     $2 link_types text[]: the types of links to follow, null for all
-- slots: match
-- result: start bigint, parent bigint; one row a start that has a match
with recursive walk (start, node, hit) as (
    -- Where to begin. A start that does not exist has no links and goes nowhere.
    select
        asked.start,
        asked.start,
        false
    from unnest($1::bigint[]) as asked (start)

    -- Without `all`: what a start has reached once is dropped, so cycles end and diamonds do not
    -- multiply. That works because a row carries neither its depth nor its path.
    union

    select
        level.start,
        found.node,
        found.hit
    from (
        -- The working table is exactly one level of the breadth-first search, so a window over it
        -- tells which starts have had a match on it and are done.
        select
            walk.start,
            walk.node,
            bool_or(walk.hit) over (partition by walk.start) as done
        from walk
    ) as level
    cross join lateral (
        -- The fence keeps the planner, which cannot know how large a level is, from reading the
        -- whole table of links for a hash join: one probe of the index for each node reached.
        select
            link.input_id::bigint as node,
            -- A start is never its own parent, also where a cycle leads back to it. A criterion that
            -- is null, neither true nor false, is no match, and must not end the walk.
            (parent.id <> level.start and parent.matches) is true as hit
        from db_dblink as link
        cross join lateral (
            -- Under its own name, by which the criteria know the table.
            select
                db_dbnode.id,
                /*{match}*/ true as matches
            from db_dbnode
            where db_dbnode.id = link.input_id
            offset 0
        ) as parent
        where link.output_id = level.node
            and ($2::text[] is null or link.type = any ($2::text[]))
        offset 0
    ) as found
    where not level.done
)
select
    walk.start,
    min(walk.node) as parent
from walk
where walk.hit
group by walk.start
