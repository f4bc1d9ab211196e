-- migration: django_0012
-- from: 1.0.11
-- to: 1.0.12
-- also: a514d673c163
-- changes: Drops db_dblock.
-- why: The daemon no longer takes its locks in the database.
-- tables: db_dblock
-- drops: db_dblock

drop table db_dblock;
