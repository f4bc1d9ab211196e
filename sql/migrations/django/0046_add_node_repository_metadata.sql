-- migration: django_0046
-- from: 1.0.45
-- to: 1.0.46
-- also: 7536a82b2cc4
-- changes: Nodes get the column `repository_metadata`, empty on the existing ones.
-- sqlalchemy changes: Nodes get the column `repository_metadata`, empty on the existing ones,
--     and those without a uuid get one.
-- why: AiiDA 2.0 keeps each node's tree of file names in the database, and only what is in the
--     files outside it. The next step fills the column. AiiDA keeps no default in the database; the
--     one given while the column is added fills the rows without writing them. In the sqlalchemy
--     line a uuid could be null: AiiDA gives one three steps later, when the files have been moved
--     by it; here it gets one before.
-- tables: db_dbnode

alter table db_dbnode
    add column repository_metadata jsonb not null default '{}';
alter table db_dbnode
    alter column repository_metadata drop default;

-- sqlalchemy alone:
update db_dbnode
set uuid = gen_random_uuid()
where uuid is null;
