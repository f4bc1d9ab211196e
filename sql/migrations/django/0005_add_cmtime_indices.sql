-- migration: django_0005
-- from: 1.0.4
-- to: 1.0.5
-- changes: Adds indexes on db_dbnode.ctime and db_dbnode.mtime.
-- why: Nodes are queried by their age.
-- tables: db_dbnode

select pg_temp.aiidadb_ensure_index('db_dbnode', array['ctime'], 'db_dbnode_ctime_idx');
select pg_temp.aiidadb_ensure_index('db_dbnode', array['mtime'], 'db_dbnode_mtime_idx');
