-- name: orphaned_row
-- purpose: The rows that step 0050 deletes because what they belong to is gone, as they are written
--     to a file; read by a cursor
-- parameters: none
-- step: django_0050
-- result: subject text, reason text, content text; one row per row, with its columns as JSON
select
    orphan.subject,
    orphan.reason,
    to_jsonb(entry)::text as content
from aiidadb_orphan as orphan
inner join db_dblink as entry on entry.id = orphan.row_id
where orphan.subject = 'db_dblink'
union all
select
    orphan.subject,
    orphan.reason,
    to_jsonb(entry)::text as content
from aiidadb_orphan as orphan
inner join db_dbgroup_dbnodes as entry on entry.id = orphan.row_id
where orphan.subject = 'db_dbgroup_dbnodes'
union all
select
    orphan.subject,
    orphan.reason,
    to_jsonb(entry)::text as content
from aiidadb_orphan as orphan
inner join db_dbcomment as entry on entry.id = orphan.row_id
where orphan.subject = 'db_dbcomment'
union all
select
    orphan.subject,
    orphan.reason,
    to_jsonb(entry)::text as content
from aiidadb_orphan as orphan
inner join db_dblog as entry on entry.id = orphan.row_id
where orphan.subject = 'db_dblog'
union all
select
    orphan.subject,
    orphan.reason,
    to_jsonb(entry)::text as content
from aiidadb_orphan as orphan
inner join db_dbauthinfo as entry on entry.id = orphan.row_id
where orphan.subject = 'db_dbauthinfo'
