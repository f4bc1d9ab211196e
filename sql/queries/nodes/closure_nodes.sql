-- name: closure_nodes
-- purpose: The nodes that lie above some starts, as far up as the first matches; each is reached
--     once, however many starts it lies above
-- parameters: $1 starts int[]: pks of the nodes to start from
--     $2 link_types text[]: the types of links to follow, null for all
-- slots: match
-- result: hit bool, nodes bytea; the matches and the nodes between, starts included, at most one
--     row for each: their pks, four bytes each, the highest first
with recursive reached (node, hit) as (
    -- Where to begin. A start that does not exist has no links and goes nowhere.
    select
        asked.start as node,
        false as hit
    from unnest($1::int[]) as asked (start)

    -- Without `all`: what was reached once is dropped. A start that matches is reached as both.
    union

    select
        found.node,
        found.hit
    from (
        -- As in closest_parents: a place where the planner can choose between testing node by node
        -- and reading all nodes that match once.
        select
            link.input_id as node,
            -- Under its own name, by which the criteria know the table.
            (
                exists (
                    select 1
                    from db_dbnode
                    where db_dbnode.id = link.input_id
                        and /*{match}*/ true
                )
            ) as hit
        from reached
        inner join lateral (
            -- The fence makes one probe of the index of each node reached, never a scan.
            select db_dblink.input_id
            from db_dblink
            where db_dblink.output_id = reached.node
                and ($2::text[] is null or db_dblink.type = any($2::text[]))
            offset 0
        ) as link on true
        -- What lies above a match is further away than the match.
        where not reached.hit
            and reached.node > 0
        offset 0
    ) as found
)

select
    reached.hit,
    string_agg(int4send(reached.node), '') as nodes
from reached
group by reached.hit
