-- migration: django_0024
-- from: 1.0.23
-- to: 1.0.24
-- changes: The uuids of logs become unique.
-- why: aiida-core 2.x has two revisions for this step, and commits each: what it left at
--     `django_0024a` lacks only this. As where it went on to `django_0024` itself, the metadata of
--     logs stays as it is.
-- tables: db_dblog

select pg_temp.aiidadb_ensure_unique('db_dblog', array['uuid'], 'db_dblog_uuid_key');
