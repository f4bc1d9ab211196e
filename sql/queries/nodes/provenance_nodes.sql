-- name: provenance_nodes
-- purpose: What a provenance graph shows of its nodes
-- parameters: $1 nodes text: pks of the nodes, as the text of an array, since asyncpg writes a long
--     array in one go
-- result: pk int, uuid text, node_type text, process_type text, label text; one row per node that
--     exists; null is an empty text but for the process type
select
    db_dbnode.id as pk,
    coalesce(db_dbnode.uuid::text, '') as uuid,
    coalesce(db_dbnode.node_type, '')::text as node_type,
    db_dbnode.process_type::text as process_type,
    coalesce(db_dbnode.label, '')::text as label
from db_dbnode
-- In a subquery, where the planner cannot see how many there are: see links_above.
where db_dbnode.id = any((select $1::text::int[])::int[])
