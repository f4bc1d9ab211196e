-- name: full_types_of_user
-- purpose: Which node types and process types a user's nodes have, and how many of these there are
-- parameters: $1 user_pk bigint: the user
-- result: node_type text, process_type text, nodes bigint; one row per kind of nodes; null is an
--     empty text
select
    coalesce(counted.node_type, '')::text as node_type,
    coalesce(counted.process_type, '')::text as process_type,
    sum(counted.nodes)::bigint as nodes
from (
    -- By the columns themselves, of which the planner knows how few values they have, so that
    -- several processes can count. What differs only in null is added up afterwards.
    select
        db_dbnode.node_type,
        db_dbnode.process_type,
        count(*) as nodes
    from db_dbnode
    where db_dbnode.user_id = $1::bigint
    group by
        db_dbnode.node_type,
        db_dbnode.process_type
) as counted
group by
    coalesce(counted.node_type, '')::text,
    coalesce(counted.process_type, '')::text
