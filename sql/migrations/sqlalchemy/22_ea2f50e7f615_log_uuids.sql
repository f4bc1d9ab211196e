-- migration: sqlalchemy_22_ea2f50e7f615
-- from: 041a79fc615f
-- to: ea2f50e7f615
-- changes: Adds db_dblog.uuid, with a new uuid for each log.
-- why: Logs can then be distinguished from each other when they are imported. The table is
--     rewritten once instead of updated.
-- tables: db_dblog

alter table db_dblog
    add column uuid uuid default gen_random_uuid();
-- Nothing but keys has a default in the databases of this line.
alter table db_dblog
    alter column uuid drop default;
