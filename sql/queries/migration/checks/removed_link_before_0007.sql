-- name: removed_link_before_0007
-- purpose: Those of removed_link, in a database whose links 0007 still has to give their types: of
--     the links that 0020 would delete, it makes creations of what inline calculations returned
-- parameters: none
-- schema: django_0003, django_0006,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_02_70c7d732f1b2
-- result: subject text, number bigint, pks bigint[], example text; one row, or none
select
    'db_dblink' as subject,
    count(*) as number,
    (array_agg(link.id::bigint order by link.id))[:10] as pks,
    min(link.type) as example
from db_dblink as link
inner join db_dbnode as source on source.id = link.input_id
left join db_dbnode as target on target.id = link.output_id
where
    (
        link.type in ('returnlink', 'calllink')
        and (source.type like 'calculation.job%' or source.type like 'calculation.inline%')
        and not (
            link.type = 'returnlink'
            and source.type like 'calculation.inline.%'
            and coalesce(target.type, '') like 'data.%'
        )
    )
    or (
        link.type = 'createlink'
        and (source.type like 'calculation.function%' or source.type like 'calculation.work%')
    )
having count(*) > 0
