-- migration: sqlalchemy_04_89176227b25
-- from: a6048f0ffca8
-- to: 89176227b25
-- changes: Adds indexes on db_dbworkflowdata.parent_id and .aiida_obj_id.
-- why: Deleting a node, or a workflow, looked through all of the table.
-- tables: db_dbworkflowdata

select pg_temp.aiidadb_ensure_index(
    'db_dbworkflowdata', array['parent_id'], 'ix_db_dbworkflowdata_parent_id'
);
select pg_temp.aiidadb_ensure_index(
    'db_dbworkflowdata', array['aiida_obj_id'], 'ix_db_dbworkflowdata_aiida_obj_id'
);
