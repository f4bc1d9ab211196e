-- migration: sqlalchemy_31_5a49629f0d45
-- from: 5ddd24e52864
-- to: 5a49629f0d45
-- changes: Adds indexes on input_id, output_id and type of db_dblink.
-- why: Every walk along the links looked through all of them.
-- tables: db_dblink

select pg_temp.aiidadb_ensure_index('db_dblink', array['input_id'], 'ix_db_dblink_input_id');
select pg_temp.aiidadb_ensure_index('db_dblink', array['output_id'], 'ix_db_dblink_output_id');
select pg_temp.aiidadb_ensure_index('db_dblink', array['type'], 'ix_db_dblink_type');
