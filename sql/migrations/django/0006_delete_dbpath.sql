-- migration: django_0006
-- from: 1.0.5
-- to: 1.0.6
-- also: 70c7d732f1b2
-- changes: Drops db_dbpath, and the trigger on db_dblink that kept it up to date.
-- why: The transitive closure of the links grew beyond what could be kept; it follows from the
--     links. AiiDA up to 0.9 made the trigger and its function after each of Django's migrations; a
--     database that never saw those has neither.
-- tables: db_dbpath, db_dblink
-- drops: db_dbpath,
--     trigger autoupdate_tc after insert or delete or update on db_dblink for each row
--     execute function update_tc(),
--     function update_tc() with source 2543fa447c03bff29db0acf307f7696f

-- The trigger first: it writes into the table. Before the first change of a migration it was
-- verified that what has these names is AiiDA's.
drop trigger if exists autoupdate_tc on db_dblink;
drop function if exists update_tc();
drop table db_dbpath;
