-- name: missing_value
-- purpose: Nodes without a type, groups without a user, links without a type or an end, which
--     1de112340b17 refuses
-- parameters: none
-- schema: sqlalchemy_30_5ddd24e52864, sqlalchemy_49_1de112340b16
-- result: subject text, number bigint, pks bigint[], example text; one row per column with some
with entry as (
    select
        'db_dbnode.node_type' as subject,
        node.id
    from db_dbnode as node
    where node.node_type is null
    union all
    select
        'db_dbgroup.user_id' as subject,
        grouping.id
    from db_dbgroup as grouping
    where grouping.user_id is null
    union all
    select
        case
            when link.input_id is null then 'db_dblink.input_id'
            when link.output_id is null then 'db_dblink.output_id'
            else 'db_dblink.type'
        end as subject,
        link.id
    from db_dblink as link
    where link.input_id is null
        or link.output_id is null
        or link.type is null
)

select
    entry.subject,
    count(*) as number,
    (array_agg(entry.id::bigint order by entry.id))[:10] as pks,
    null::text as example
from entry
group by entry.subject
order by entry.subject
