-- migration: django_0045
-- from: 1.0.44
-- to: 1.0.45
-- changes: Groups get the column `extras`, empty on those that are there.
-- why: As nodes, groups can be given extras of the user's own. AiiDA keeps no default in the
--     database; the one given while the column is added fills the rows without writing them.
-- tables: db_dbgroup

alter table db_dbgroup
    add column extras jsonb not null default '{}';
alter table db_dbgroup
    alter column extras drop default;
