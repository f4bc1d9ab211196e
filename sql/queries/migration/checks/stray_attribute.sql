-- name: stray_attribute
-- purpose: Rows of attributes and extras whose node is gone, which 0037 writes to a file
-- parameters: none
-- schema: django_0001, django_0036
-- result: subject text, number bigint, pks bigint[], example text; one row per table with some; the
--     ids are those of the rows, the example is the id of a node that is gone
with entry as (
    select
        'db_dbattribute' as subject,
        attribute.id,
        attribute.dbnode_id
    from db_dbattribute as attribute
    where not exists (
            select from db_dbnode as node
            where node.id = attribute.dbnode_id
        )
    union all
    select
        'db_dbextra' as subject,
        extra.id,
        extra.dbnode_id
    from db_dbextra as extra
    where not exists (
            select from db_dbnode as node
            where node.id = extra.dbnode_id
        )
)

select
    entry.subject,
    count(*) as number,
    (array_agg(entry.id::bigint order by entry.id))[:10] as pks,
    min(entry.dbnode_id)::text as example
from entry
group by entry.subject
order by entry.subject
