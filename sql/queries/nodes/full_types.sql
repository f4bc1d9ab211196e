-- name: full_types
-- purpose: Which node types and process types there are together, and how many nodes of each
-- parameters: none
-- result: node_type text, process_type text, nodes bigint; one row per kind of nodes; null is an
--     empty text
with of_processes as materialized (
    -- Most nodes are data, which have no process type: only the others are looked at.
    select
        db_dbnode.node_type,
        db_dbnode.process_type,
        count(*) as nodes
    from db_dbnode
    where db_dbnode.process_type > ''
    group by
        db_dbnode.node_type,
        db_dbnode.process_type
),

counted as (
    -- An index counts all nodes by node type, several times as fast as both types are read.
    select
        db_dbnode.node_type,
        null as process_type,
        count(*) as nodes
    from db_dbnode
    group by db_dbnode.node_type
    union all
    -- Those that have a process type were among them.
    select
        of_processes.node_type,
        null as process_type,
        -of_processes.nodes as nodes
    from of_processes
    union all
    select
        of_processes.node_type,
        of_processes.process_type,
        of_processes.nodes
    from of_processes
)

select
    coalesce(counted.node_type, '')::text as node_type,
    coalesce(counted.process_type, '')::text as process_type,
    sum(counted.nodes)::bigint as nodes
from counted
group by
    coalesce(counted.node_type, '')::text,
    coalesce(counted.process_type, '')::text
having sum(counted.nodes) > 0
