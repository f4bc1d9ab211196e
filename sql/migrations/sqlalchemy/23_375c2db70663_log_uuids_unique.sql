-- migration: sqlalchemy_23_375c2db70663
-- from: ea2f50e7f615
-- to: 375c2db70663
-- changes: db_dblog.uuid becomes unique.
-- why: The step before filled the column. Where two logs came to share a uuid since, the step is
--     refused.
-- tables: db_dblog

select pg_temp.aiidadb_unique_uuids('db_dblog');
