-- migration: django_0010
-- from: 1.0.9
-- to: 1.0.10
-- also: 6c629c886f84
-- changes: Adds db_dbnode.process_type, null, with its indexes.
-- sqlalchemy changes: Adds db_dbnode.process_type, null, with its index.
-- why: A node says which process ran, in addition to which class of node it is.
-- tables: db_dbnode

alter table db_dbnode
    add column process_type varchar(255);

-- django alone:
select pg_temp.aiidadb_ensure_index(
    'db_dbnode', array['process_type'], 'db_dbnode_process_type_idx'
);
select pg_temp.aiidadb_ensure_index(
    'db_dbnode', array['process_type'], 'db_dbnode_process_type_like', pattern => true
);

-- sqlalchemy alone:
select pg_temp.aiidadb_ensure_index(
    'db_dbnode', array['process_type'], 'ix_db_dbnode_process_type'
);
