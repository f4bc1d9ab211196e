-- migration: main_0001
-- from: 1.0.50
-- sqlalchemy from: 1de112340b18
-- to: main_0001
-- changes: The database is on the main line, and the setting `db|schemaversion` is again what AiiDA
--     1.x left: 1.0.45.
-- sqlalchemy changes: The database is on the main line.
-- why: At 1.0.50 the two schemas are the same; from here on AiiDA 2.x starts counting again. It
--     never writes the setting, which nothing of it reads.
-- sqlalchemy why: At 1de112340b18 the two schemas are the same; from here on AiiDA 2.x starts
--     counting again. The setting `db|schemaversion` is left alone: in this line it never was the
--     version.
-- tables: db_dbsetting
-- sqlalchemy tables: none

-- django alone:
select pg_temp.aiidadb_note_setting('1.0.45');
