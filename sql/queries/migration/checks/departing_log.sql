-- name: departing_log
-- purpose: Logs that belong to no node, which 0024 writes to files and deletes
-- parameters: none
-- schema: django_0001, django_0023,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_20_7ca08c391c49
-- result: subject text, number bigint, pks bigint[], example text; one row, or none
select
    'db_dblog' as subject,
    count(*) as number,
    (array_agg(log.id::bigint order by log.id))[:10] as pks,
    min(log.objname) as example
from db_dblog as log
left join db_dbnode as node on node.id = log.objpk
where log.objname not like 'node.%'
    or node.id is null
having count(*) > 0
