-- migration: main_0001
-- from: 1.0.50
-- to: main_0001
-- changes: The database is on the main line, and the setting `db|schemaversion` is again what AiiDA
--     1.x left: 1.0.45.
-- why: At 1.0.50 the two schemas are the same; from here on AiiDA 2.x counts anew. It never writes
--     the setting, which nothing of it reads.
-- tables: db_dbsetting

select pg_temp.aiidadb_note_setting('1.0.45');
