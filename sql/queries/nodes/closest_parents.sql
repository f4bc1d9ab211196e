-- name: closest_parents
-- purpose: For each start the match that is the least number of links away, up the provenance
--     graph; the highest pk among several
-- parameters: $1 starts int[]: pks of the nodes to start from
--     $2 link_types text[]: the types of links to follow, null for all
--     $3 allowance bigint: how many pairs of a start and a node to reach at most, null for all
-- slots: match
-- result: start int, parent int, reached bigint; one row per start that was looked at, parent null
--     where it has no match, and in each the number of pairs reached: where it is the allowance,
--     the walk was cut short, and the parents mean nothing
with recursive walk (start, node, hit) as (
    -- Where to begin. A start that does not exist has no links and goes nowhere.
    select
        asked.start,
        asked.start as node,
        false as hit
    from unnest($1::int[]) as asked (start)

    -- Without `all`: what a start has reached once is dropped, so cycles end and diamonds do not
    -- multiply. That works because a row carries neither its depth nor its path.
    union

    select
        level.start,
        level.node,
        level.hit
    from (
        -- The working table is exactly one level of the breadth-first search, so a window over
        -- what it leads to shows which starts have a match on the next one.
        select
            found.start,
            found.node,
            found.hit,
            bool_or(found.hit) over (partition by found.start) as done
        from (
            -- The test stands here, above the join, where the planner knows how many rows to
            -- expect: for a few it probes the node of each, for many it reads all nodes that
            -- match once and looks them up in a hash table. The fence keeps it from being evaluated
            -- twice, for the window and for its outcome.
            select
                walk.start,
                link.input_id as node,
                (
                    -- A start is never its own parent, even where a cycle leads back to it.
                    link.input_id <> walk.start
                    -- Under its own name, by which the criteria know the table.
                    and exists (
                        select 1
                        from db_dbnode
                        where db_dbnode.id = link.input_id
                            and /*{match}*/ true
                    )
                ) as hit
            from walk
            inner join lateral (
                -- The fence keeps the planner, which cannot know how large a level is, from
                -- reading the whole table of links for a hash join: one probe of the index for
                -- each node reached.
                select db_dblink.input_id
                from db_dblink
                where db_dblink.output_id = walk.node
                    and ($2::text[] is null or db_dblink.type = any($2::text[]))
                offset 0
            ) as link on true
            where not walk.hit
                -- Always true. The planner takes a level for ten times as large as all starts, and
                -- such a condition for true in one case of three; with both it is about right.
                and walk.node > 0
            offset 0
        ) as found
    ) as level
    -- Of a start that is done only the matches are carried on, and they lead nowhere.
    where level.hit = level.done
)

select
    walk.start,
    max(walk.node) filter (where walk.hit) as parent,
    sum(count(*)) over ()::bigint as reached
from (
    -- The walk goes no further than its rows are asked for.
    select
        walk.start,
        walk.node,
        walk.hit
    from walk
    limit $3::bigint
) as walk
group by walk.start
