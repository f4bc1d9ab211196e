-- migration: django_0010
-- from: 1.0.9
-- to: 1.0.10
-- changes: Adds db_dbnode.process_type, null, with its indexes.
-- why: A node says which process ran, beside which class of node it is.
-- tables: db_dbnode

alter table db_dbnode
    add column process_type varchar(255);

select pg_temp.aiidadb_ensure_index(
    'db_dbnode', array['process_type'], 'db_dbnode_process_type_idx'
);
select pg_temp.aiidadb_ensure_index(
    'db_dbnode', array['process_type'], 'db_dbnode_process_type_like', pattern => true
);
