-- migration: django_0048
-- from: 1.0.47
-- to: 1.0.48
-- also: 535039300e4a
-- changes: The column `name` of computers is called `label`.
-- why: Everything that a user names has a label in AiiDA 2.0. The unique constraint and the index
--     for `like 'abc%'` follow the column; AiiDA recreates both to rename them, here they keep
--     their names until 0050, which renames them all.
-- sqlalchemy why: Everything that a user names has a label in AiiDA 2.0. The unique constraint
--     follows the column, and keeps its name until 1de112340b18, which gives all of them AiiDA
--     2.0's.
-- tables: db_dbcomputer

alter table db_dbcomputer
    rename column name to label;
