-- name: campaign_comments
-- purpose: The comments on nodes of a generated campaign
-- parameters: $1 every int: one comment for every so many nodes
--     $2 seed int: other seeds, other uuids
-- result: uuid uuid, dbnode_id int, ctime timestamptz, mtime timestamptz, user_id int,
--     content text; one row per comment
select
    md5($2::int || ':comment:' || node.id)::uuid as uuid,
    node.id as dbnode_id,
    node.mtime + interval '1 hour' as ctime,
    node.mtime + interval '1 hour' as mtime,
    node.user_id,
    'checked by hand' as content
from db_dbnode as node
where node.id % $1::int = 0
order by node.id
