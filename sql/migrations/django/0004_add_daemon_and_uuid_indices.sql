-- migration: django_0004
-- from: 1.0.3
-- to: 1.0.4
-- changes: Adds indexes on db_dbnode.uuid, and one on db_dbattribute.tval over the calculation
--     states that the daemon looks for.
-- why: Loading a node by its uuid and each round of the daemon read whole tables. Django 1.7 forgot
--     the pattern index on the uuid; it is made here. The index on the uuid has the name by which
--     aiida-core 2.x drops it in its own 0014, so that it can continue from here.
-- tables: db_dbattribute, db_dbnode

create index if not exists tval_idx_for_daemon
on db_dbattribute (tval)
where tval in ('COMPUTED', 'WITHSCHEDULER', 'TOSUBMIT');

select pg_temp.aiidadb_ensure_index('db_dbnode', array['uuid'], 'db_dbnode_uuid_62e0bf98');
select pg_temp.aiidadb_ensure_index(
    'db_dbnode', array['uuid'], 'db_dbnode_uuid_62e0bf98_like', pattern => true
);
