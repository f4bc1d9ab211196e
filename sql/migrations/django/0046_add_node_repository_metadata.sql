-- migration: django_0046
-- from: 1.0.45
-- to: 1.0.46
-- changes: Nodes get the column `repository_metadata`, empty on those that are there.
-- why: AiiDA 2.0 keeps each node's tree of file names in the database, and only what is in the
--     files outside it. The next step fills the column. AiiDA keeps no default in the database; the
--     one given while the column is added fills the rows without writing them.
-- tables: db_dbnode

alter table db_dbnode
    add column repository_metadata jsonb not null default '{}';
alter table db_dbnode
    alter column repository_metadata drop default;
