-- migration: django_0003
-- from: 1.0.2
-- to: 1.0.3
-- changes: Adds db_dblink.type, empty, with its indexes, and drops the constraints that two nodes
--     have at most one link and that the labels of a node's incoming links differ.
-- why: Links were all of one kind; now two nodes can be linked more than once, each time in another
--     way. Django 1.7 forgot the pattern index on the new column; it is made here.
-- tables: db_dblink

alter table db_dblink
    add column type varchar(255) not null default '';
-- Django has the application fill in defaults, never the server.
alter table db_dblink
    alter column type drop default;

select pg_temp.aiidadb_ensure_index('db_dblink', array['type'], 'db_dblink_type_idx');
select pg_temp.aiidadb_ensure_index(
    'db_dblink', array['type'], 'db_dblink_type_like', pattern => true
);
select pg_temp.aiidadb_drop_unique('db_dblink', array['input_id', 'output_id']);
select pg_temp.aiidadb_drop_unique('db_dblink', array['output_id', 'label']);
