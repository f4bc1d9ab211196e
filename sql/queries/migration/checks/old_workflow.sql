-- name: old_workflow
-- purpose: Rows of the workflows of AiiDA 0.x, with their data and steps, which 0032 writes to a
--     file and drops
-- parameters: none
-- schema: django_0001, django_0031,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_32_3d6190594e19
-- result: subject text, number bigint, pks bigint[], example text; one row per table with some
select
    entry.subject,
    count(*) as number,
    (array_agg(entry.id::bigint order by entry.id))[:10] as pks,
    null::text as example
from (
    select
        'db_dbworkflow' as subject,
        id
    from db_dbworkflow
    union all
    select
        'db_dbworkflowdata' as subject,
        id
    from db_dbworkflowdata
    union all
    select
        'db_dbworkflowstep' as subject,
        id
    from db_dbworkflowstep
) as entry
group by entry.subject
order by entry.subject
