-- name: repeated_node_uuid
-- purpose: Nodes whose uuid another node also has, in whatever spelling: 0014 makes the column
--     unique, and 0018 makes uuids of the texts
-- parameters: none
-- schema: django_0001, django_0017,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_11_59edaf8a8b79
-- result: subject text, number bigint, pks bigint[], example text; one row, or none
with shared as (
    -- as get_duplicate_uuids compares them
    select lower(translate(node.uuid::text, '-{}', '')) as uuid
    from db_dbnode as node
    group by lower(translate(node.uuid::text, '-{}', ''))
    having count(*) > 1
)

select
    'db_dbnode' as subject,
    count(*) as number,
    (array_agg(node.id::bigint order by node.id))[:10] as pks,
    min(shared.uuid) as example
from db_dbnode as node
inner join shared on shared.uuid = lower(translate(node.uuid::text, '-{}', ''))
having count(*) > 0
