-- name: nodes_of_folders
-- purpose: The nodes that folders of a file repository belong to, before 0047
-- parameters: $1 uuids text[]: what the folders are named after, lower case, with dashes
-- schema: django_0001, django_0046,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_45_7536a82b2cc4
-- result: uuid text, pk bigint; one row per node
select
    lower(node.uuid::text) as uuid,
    node.id::bigint as pk
from db_dbnode as node
where lower(node.uuid::text) = any($1::text[])
