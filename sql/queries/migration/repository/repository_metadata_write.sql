-- name: repository_metadata_write
-- purpose: Writes what the container has of each node (step 0047)
-- parameters: $1 uuids uuid[]: the nodes; those that do not exist are ignored
--     $2 metadata text[]: the repository_metadata of each, JSON
-- schema: django_0046
-- result: none
update db_dbnode as node
set repository_metadata = given.metadata::jsonb
from unnest($1::uuid[], $2::text[]) as given (uuid, metadata)
where node.uuid = given.uuid
