-- name: malformed_uuid
-- purpose: Rows whose uuid is not valid, so that 0018 could not convert it
-- parameters: none
-- schema: django_0001, django_0017
-- result: subject text, number bigint, pks bigint[], example text; one row per table with some
select
    entry.subject,
    count(*) as number,
    (array_agg(entry.id::bigint order by entry.id))[:10] as pks,
    min(entry.uuid) as example
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
        'db_dbnode' as subject,
        id,
        uuid
    from db_dbnode
    union all
    select
        'db_dbworkflow' as subject,
        id,
        uuid
    from db_dbworkflow
) as entry
where
    case
        -- the server's own spelling, which most have, and which is seen in a fifth of the time
        when entry.uuid like '________-____-____-____-____________'
            and entry.uuid not like '%-%-%-%-%-%'
            and entry.uuid !~ '[^0-9a-f-]'
            then false
        else entry.uuid !~* '^(\{[0-9a-f]{4}(-?[0-9a-f]{4}){7}\}|[0-9a-f]{4}(-?[0-9a-f]{4}){7})$'
    end
group by entry.subject
order by entry.subject
