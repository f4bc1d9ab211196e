-- name: row_count
-- purpose: How many rows a table has, exactly
-- parameters: none
-- tables: db_dbnode, db_dblink, db_dbgroup, db_dbuser, db_dbcomputer, db_dbcomment, db_dblog
-- schema: django_0001, django_0045, main_0002
-- result: number bigint; one row
select count(*) as number
from /*{table}*/ db_dbnode
