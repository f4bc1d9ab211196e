-- name: removed_link
-- purpose: Links that calculations and workflows of AiiDA 1.0 cannot have, which 0020 writes to a
--     file and deletes
-- parameters: none
-- schema: django_0007, django_0017,
--     sqlalchemy_03_a6048f0ffca8, sqlalchemy_16_140c971ae0a3
-- result: subject text, number bigint, pks bigint[], example text; one row, or none
select
    'db_dblink' as subject,
    count(*) as number,
    (array_agg(link.id::bigint order by link.id))[:10] as pks,
    min(link.type) as example
from db_dblink as link
inner join db_dbnode as source on source.id = link.input_id
where
    (
        link.type in ('returnlink', 'calllink')
        and (source.type like 'calculation.job%' or source.type like 'calculation.inline%')
    )
    or (
        link.type = 'createlink'
        and (source.type like 'calculation.function%' or source.type like 'calculation.work%')
    )
having count(*) > 0
