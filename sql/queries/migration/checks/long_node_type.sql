-- name: long_node_type
-- purpose: Data nodes whose type is too long for what 0025 puts in front of it
-- parameters: none
-- schema: django_0001, django_0024,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_23_375c2db70663
-- result: subject text, number bigint, pks bigint[], example text; one row, or none
select
    'db_dbnode' as subject,
    count(*) as number,
    (array_agg(node.id::bigint order by node.id))[:10] as pks,
    min(node.type) as example
from db_dbnode as node
where node.type like 'data.%'
    and length(node.type) > 255 - length('node.')
having count(*) > 0
