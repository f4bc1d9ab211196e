-- migration: django_0030
-- from: 1.0.29
-- to: 1.0.30
-- also: 5ddd24e52864
-- changes: db_dbnode.type becomes node_type.
-- why: There is a process_type beside it. Indexes go with the column.
-- tables: db_dbnode

alter table db_dbnode rename column type to node_type;
