-- migration: django_0021
-- from: 1.0.20
-- to: 1.0.21
-- also: b8b23ddefad4
-- changes: db_dbgroup.name becomes label, and type becomes type_string.
-- why: Names in the database follow those that users see. Indexes and constraints go with the
--     columns.
-- tables: db_dbgroup

alter table db_dbgroup rename column name to label;
alter table db_dbgroup rename column type to type_string;
