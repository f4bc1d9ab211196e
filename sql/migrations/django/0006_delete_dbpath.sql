-- migration: django_0006
-- from: 1.0.5
-- to: 1.0.6
-- changes: Drops db_dbpath, and the trigger on db_dblink that kept it up to date.
-- why: The transitive closure of the links grew beyond what could be kept; it follows from the
--     links.
-- tables: db_dbpath, db_dblink
-- drops: db_dbpath

-- The trigger first: it writes into the table.
drop trigger if exists autoupdate_tc on db_dblink;
drop function if exists update_tc();
drop table db_dbpath;
