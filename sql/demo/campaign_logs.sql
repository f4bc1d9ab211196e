-- name: campaign_logs
-- purpose: What the workflows of a generated campaign reported
-- parameters: $1 node_type text: that of workflows
--     $2 every int: one log for every so many workflows
--     $3 seed int: other seeds, other uuids
-- result: time timestamptz, loggername text, levelname text, message text, metadata jsonb,
--     dbnode_id int, uuid uuid; one row per log
select
    node.mtime as time,
    'aiida.orm.nodes.process.workflow.workchain.WorkChainNode' as loggername,
    'REPORT' as levelname,
    '[' || node.id || '|' || node.label || '|results]: the workchain completed' as message,
    '{}'::jsonb as metadata,
    node.id as dbnode_id,
    md5($3::int || ':log:' || node.id)::uuid as uuid
from db_dbnode as node
where node.node_type = $1::text
    and node.id % $2::int = 0
order by node.id
