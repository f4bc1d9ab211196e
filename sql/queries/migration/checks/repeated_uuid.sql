-- name: repeated_uuid
-- purpose: Comments, computers, groups and workflows whose uuid another one also has, in whatever
--     spelling: 0018 makes uuids of the texts, and the columns unique
-- parameters: none
-- schema: django_0001, django_0017,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_24_6a5c2ea1439d
-- result: subject text, number bigint, pks bigint[], example text; one row per table with some
with bearer as (
    -- as get_duplicate_uuids compares them
    select
        entry.subject,
        entry.id,
        lower(translate(entry.uuid::text, '-{}', '')) as uuid
    from (
        select
            'db_dbcomment' as subject,
            id,
            uuid
        from db_dbcomment
        union all
        select
            'db_dbcomputer' as subject,
            id,
            uuid
        from db_dbcomputer
        union all
        select
            'db_dbgroup' as subject,
            id,
            uuid
        from db_dbgroup
        union all
        select
            'db_dbworkflow' as subject,
            id,
            uuid
        from db_dbworkflow
    ) as entry
),

shared as (
    select
        bearer.subject,
        bearer.uuid
    from bearer
    group by bearer.subject, bearer.uuid
    having count(*) > 1
)

select
    bearer.subject,
    count(*) as number,
    (array_agg(bearer.id::bigint order by bearer.id))[:10] as pks,
    min(bearer.uuid) as example
from bearer
inner join shared
    on shared.subject = bearer.subject
    and shared.uuid = bearer.uuid
group by bearer.subject
order by bearer.subject
