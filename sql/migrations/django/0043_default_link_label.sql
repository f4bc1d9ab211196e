-- migration: django_0043
-- from: 1.0.42
-- to: 1.0.43
-- also: 118349c10896
-- changes: Links with the label `_return` get the label `result`.
-- why: `_return` was the label of what a process function returned as its only value. Labels that
--     begin or end with an underscore are not allowed any more: namespaces need it.
-- tables: db_dblink
-- rows: select count(*) from db_dblink where label = '_return'

update db_dblink
set label = 'result'
where label = '_return';
