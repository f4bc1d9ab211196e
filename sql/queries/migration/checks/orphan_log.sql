-- name: orphan_log
-- purpose: Logs of nodes that are gone, which 0050 writes to a file and deletes; those that exist
--     before 0024 are removed by that
-- parameters: none
-- schema: django_0024, django_0049,
--     sqlalchemy_21_041a79fc615f, sqlalchemy_50_1de112340b17
-- result: subject text, number bigint, pks bigint[], example text; one row, or none
select
    'db_dblog' as subject,
    count(*) as number,
    (array_agg(log.id::bigint order by log.id))[:10] as pks,
    null::text as example
from db_dblog as log
where not exists (
        select from db_dbnode as node
        where node.id = log.dbnode_id
    )
having count(*) > 0
