-- name: orphaned_row_count
-- purpose: How many rows step 0050 deletes because what they belong to is gone: those that it has
--     listed in the temporary table aiidadb_orphan
-- parameters: none
-- step: django_0050
-- result: number bigint; one row
select count(*) as number
from aiidadb_orphan
