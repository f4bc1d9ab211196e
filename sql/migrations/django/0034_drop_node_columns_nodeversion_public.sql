-- migration: django_0034
-- from: 1.0.33
-- to: 1.0.34
-- also: 1830c8430131
-- changes: Drops db_dbnode.nodeversion and db_dbnode.public.
-- why: Nothing used them.
-- tables: db_dbnode
-- drops: db_dbnode.nodeversion, db_dbnode.public

alter table db_dbnode
    drop column nodeversion,
    drop column public;
