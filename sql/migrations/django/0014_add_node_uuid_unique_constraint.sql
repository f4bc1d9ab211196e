-- migration: django_0014
-- from: 1.0.13
-- to: 1.0.14
-- also: 62fe0d36de90
-- changes: db_dbnode.uuid becomes unique, and the plain index on it is dropped.
-- sqlalchemy changes: db_dbnode.uuid becomes unique. A node without one gets one.
-- why: Before, two nodes could have the same uuid. Where some do, the step is refused, as AiiDA's
--     own is. aiida-core 2.9.4 drops the index by the name that Django 2.2 gives it, and so fails
--     on every genuine database of 0.x; here it is found by its column.
-- sqlalchemy why: Before, two nodes could have the same uuid. Where some do, the step is refused,
--     as AiiDA's own is. AiiDA refuses two nodes without a uuid too; here each gets one of its
--     own.
-- tables: db_dbnode

-- sqlalchemy alone:
update db_dbnode
set uuid = gen_random_uuid()
where uuid is null;

-- both lines:
select pg_temp.aiidadb_unique_uuids('db_dbnode');

-- django alone:
select pg_temp.aiidadb_drop_index('db_dbnode', array['uuid'], pattern => false);
