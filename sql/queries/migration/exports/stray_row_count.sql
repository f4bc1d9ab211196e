-- name: stray_row_count
-- purpose: How many rows of attributes, extras and settings are lost in step 0037, which has listed
--     them
-- parameters: none
-- step: django_0037
-- result: number bigint; one row
select count(*) as number
from aiidadb_lost_row
