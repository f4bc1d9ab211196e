-- migration: django_0016
-- from: 1.0.15
-- to: 1.0.16
-- also: a603da2cc809
-- changes: Nodes of type `code.Code.` become `data.code.Code.`.
-- why: A code is data.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode where type = 'code.Code.'

update db_dbnode
set type = 'data.code.Code.'
where type = 'code.Code.';
