-- name: nodes_within
-- purpose: The nodes that links lead to from some nodes, in either direction or both, level by
--     level: those one link away, those two links away, and so on
-- parameters: $1 starts text: pks of the nodes to start from, as the text of an array, since
--     asyncpg writes a long array in one go
--     $2 link_types text[]: the types of links to follow, null for all
--     $3 upwards bool: whether to follow links from their outputs to their inputs
--     $4 downwards bool: whether to follow links from their inputs to their outputs
--     $5 max_depth int: how many links away at most, null for any number
--     $6 return_to_starts bool: whether a start that links lead back to is reached once more
--     $7 most bigint: how many nodes and beginnings of levels to give at most, null for all
-- result: levels bytea; one row: for each level a zero, then its pks, four bytes each, the highest
--     first. The first level is that of the starts that exist. The last may be empty
with recursive walk (node, is_start, level) as (
    -- A row is a node, or the beginning of a level. A node does not carry its level: for `union`,
    -- each would be another row at each distance at which it can be reached, and cycles would not
    -- end. So the level is what the beginning carries, and what stands behind it.
    select
        null::int,
        true,
        0

    union all

    select
        db_dbnode.id,
        true,
        null::int
    from unnest($1::text::int[]) as asked (start)
    inner join db_dbnode on db_dbnode.id = asked.start

    -- Without `all`: what was reached once is dropped, so diamonds do not multiply.
    union

    select
        found.node,
        found.is_start,
        found.level
    from (
        -- The working table is exactly one level, so windows over it show which it is, and whether
        -- there is anything in it.
        select
            walk.node,
            walk.level,
            max(walk.level) over () as depth,
            count(walk.node) over () as nodes
        from walk
    ) as reached
    inner join lateral (
        -- A union is a fence: it keeps the planner, which cannot know how many nodes are reached,
        -- from reading the whole table of links for a hash join. One probe of an index for each.
        select
            null::int as node,
            true as is_start,
            reached.level + 1 as level
        where reached.level is not null
            and reached.nodes > 0

        union all

        select
            db_dblink.input_id,
            not $6::bool,
            null
        from db_dblink
        where $3::bool
            and db_dblink.output_id = reached.node
            -- In the sqlalchemy line a link may lack an end; null here would begin a level.
            and db_dblink.input_id is not null
            and ($2::text[] is null or db_dblink.type = any($2::text[]))

        union all

        select
            db_dblink.output_id,
            not $6::bool,
            null
        from db_dblink
        where $4::bool
            and db_dblink.input_id = reached.node
            and db_dblink.output_id is not null
            and ($2::text[] is null or db_dblink.type = any($2::text[]))
    ) as found on true
    where $5::int is null
        or reached.depth < $5::int
)

-- In the order in which rows are reached, which PostgreSQL does not promise, but has kept since
-- there are recursive queries: its recursion gives out each level before it begins the next one.
select string_agg(int4send(coalesce(given.node, 0)), '') as levels
from (
    -- The walk goes no further than its rows are asked for.
    select walk.node
    from walk
    limit $7::bigint
) as given
