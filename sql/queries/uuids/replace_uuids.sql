-- name: replace_uuids
-- purpose: Give rows of a table new UUIDs
-- parameters: $1 pks bigint[]: the rows, none of them twice
--     $2 uuids uuid[]: the UUID of each, in the same order; where the column is text, up to
--         1.0.17, the assignment turns it into text
-- tables: db_dbcomment, db_dbcomputer, db_dbgroup, db_dblog, db_dbnode
-- schema: django_0017, django_0045, main_0002
-- result: pk bigint; one row for each row that exists
update /*{table}*/ db_dbnode as record
set uuid = given.uuid
from unnest($1::bigint[], $2::uuid[]) as given (pk, uuid)
where record.id = given.pk
returning record.id::bigint as pk
