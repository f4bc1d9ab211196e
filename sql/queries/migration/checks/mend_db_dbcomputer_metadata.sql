-- name: mend_db_dbcomputer_metadata
-- purpose: Gives rows the same text without what JSONB cannot hold (a repair before a
--     migration)
-- parameters: $1 pks bigint[]: the rows
--     $2 texts text[]: the text of each, in the same order
-- schema: django_0001, django_0032
-- result: none
update db_dbcomputer as mended
set metadata = given.written
from unnest($1::bigint[], $2::text[]) as given (pk, written)
where mended.id = given.pk
