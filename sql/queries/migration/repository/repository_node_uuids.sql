-- name: repository_node_uuids
-- purpose: Some nodes, in the order of their ids, to see whether the file repository has a folder
--     of one of them (step 0047, and before the migration)
-- parameters: $1 after bigint: the last id of those that were looked at
--     $2 number int: how many
-- schema: django_0001, django_0046,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_45_7536a82b2cc4
-- result: pk bigint, uuid text; one row per node; 32 digits, lower case, if it is a uuid in
--     whatever spelling
select
    node.id::bigint as pk,
    coalesce(lower(translate(node.uuid::text, '-{}', '')), '') as uuid
from db_dbnode as node
where node.id > $1::bigint
order by node.id
limit $2::int
