-- migration: django_0048
-- from: 1.0.47
-- to: 1.0.48
-- changes: The column `name` of computers is called `label`.
-- why: All that a user names has a label in AiiDA 2.0. The unique constraint and the index for
--     `like 'abc%'` follow the column; AiiDA makes both anew to rename them, here they keep their
--     names until 0050, which renames them all.
-- tables: db_dbcomputer

alter table db_dbcomputer
    rename column name to label;
