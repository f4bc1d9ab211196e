-- name: repository_nodes
-- purpose: The nodes whose uuids lie in a range, to be compared with their folders (step 0047)
-- parameters: $1 lowest uuid: where the range begins
--     $2 highest uuid: where it ends, included
-- schema: django_0046
-- result: uuid text, symbols_moved bool; one row per node. Symbols were moved where those of a
--     trajectory are an attribute since steps 0026 and 0027: its file symbols.npy is no longer
--     needed
select
    node.uuid::text as uuid,
    node.node_type = 'data.array.trajectory.TrajectoryData.'
    and coalesce(node.attributes ? 'symbols', false)
    and not coalesce(node.attributes ? 'array|symbols', false) as symbols_moved
from db_dbnode as node
where node.uuid between $1::uuid and $2::uuid
