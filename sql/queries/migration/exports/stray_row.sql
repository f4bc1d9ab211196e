-- name: stray_row
-- purpose: The rows of attributes, extras and settings that are lost in step 0037, as they are
--     written to a file; read by a cursor
-- parameters: none
-- step: django_0037
-- result: subject text, reason text, content text; one row per row, with its columns as JSON
select
    'db_dbattribute' as subject,
    lost.reason,
    to_jsonb(entry)::text as content
from aiidadb_lost_row as lost
inner join db_dbattribute as entry on entry.id = lost.row_id
where lost.subject = 'db_dbattribute'
union all
select
    'db_dbextra' as subject,
    lost.reason,
    to_jsonb(entry)::text as content
from aiidadb_lost_row as lost
inner join db_dbextra as entry on entry.id = lost.row_id
where lost.subject = 'db_dbextra'
union all
select
    'db_dbsetting' as subject,
    lost.reason,
    to_jsonb(entry)::text as content
from aiidadb_lost_row as lost
inner join db_dbsetting as entry on entry.id = lost.row_id
where lost.subject = 'db_dbsetting'
