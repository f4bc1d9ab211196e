-- name: missing_value_before_0007
-- purpose: Those of missing_value, where a6048f0ffca8 still has to give links the types that
--     follow from their nodes
-- parameters: none
-- schema: sqlalchemy_01_e15ef2630a1b, sqlalchemy_02_70c7d732f1b2
-- result: subject text, number bigint, pks bigint[], example text; one row per column with some
with entry as (
    select
        'db_dbnode.type' as subject,
        node.id
    from db_dbnode as node
    where node.type is null
    union all
    select
        'db_dblink.input_id' as subject,
        link.id
    from db_dblink as link
    where link.input_id is null
    union all
    select
        'db_dblink.output_id' as subject,
        link.id
    from db_dblink as link
    where link.output_id is null
    union all
    select
        'db_dblink.type' as subject,
        link.id
    from db_dblink as link
    left join db_dbnode as source on source.id = link.input_id
    left join db_dbnode as target on target.id = link.output_id
    where link.type is null
        and (
            target.type like 'calculation.%'
            and (
                source.type like 'data.%'
                or source.type in ('code.Code.', 'calculation.work.WorkCalculation.')
            )
            or target.type like 'data.%'
            and (
                source.type like 'calculation.job.%'
                or source.type in (
                    'calculation.inline.InlineCalculation.', 'calculation.work.WorkCalculation.'
                )
            )
        ) is not true
    union all
    select
        'db_dbgroup.user_id' as subject,
        grouping.id
    from db_dbgroup as grouping
    where grouping.user_id is null
)

select
    entry.subject,
    count(*) as number,
    (array_agg(entry.id::bigint order by entry.id))[:10] as pks,
    null::text as example
from entry
group by entry.subject
order by entry.subject
