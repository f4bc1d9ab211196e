-- migration: django_0015
-- from: 1.0.14
-- to: 1.0.15
-- changes: Deletes the extra `_aiida_hash` of every node.
-- why: The way to compute it changed, and what was computed before no longer finds its equals.
--     AiiDA recomputes it (`verdi rehash`).
-- tables: db_dbextra
-- rows: select count(*) from db_dbextra where key = '_aiida_hash'

delete from db_dbextra
where key = '_aiida_hash';
