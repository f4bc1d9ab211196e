-- migration: django_0014
-- from: 1.0.13
-- to: 1.0.14
-- changes: db_dbnode.uuid becomes unique, and the plain index on it goes.
-- why: Before, two nodes could bear one uuid. Where some do, the step is refused, as AiiDA's own
--     is. aiida-core 2.9.4 drops the index by the name that Django 2.2 gives it, and so fails on
--     every genuine database of 0.x; here it is found by its column.
-- tables: db_dbnode

select pg_temp.aiidadb_unique_uuids('db_dbnode');
select pg_temp.aiidadb_drop_index('db_dbnode', array['uuid'], pattern => false);
