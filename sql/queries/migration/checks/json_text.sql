-- name: json_text
-- purpose: Whether all text that 0033 turns into JSONB is JSON that JSONB can hold. The server
--     fails at the first that is not, or is not without a closer look
-- parameters: none
-- schema: django_0024, django_0032
-- result: number bigint; one row: how many texts there are
select count(entry.written::jsonb) as number
from (
    select
        'db_dbauthinfo.auth_params' as subject,
        access.id,
        access.auth_params as written
    from db_dbauthinfo as access
    union all
    select
        'db_dbauthinfo.metadata' as subject,
        access.id,
        access.metadata as written
    from db_dbauthinfo as access
    union all
    select
        'db_dbcomputer.metadata' as subject,
        computer.id,
        computer.metadata as written
    from db_dbcomputer as computer
    union all
    select
        'db_dbcomputer.transport_params' as subject,
        computer.id,
        computer.transport_params as written
    from db_dbcomputer as computer
    union all
    select
        'db_dblog.metadata' as subject,
        log.id,
        log.metadata as written
    from db_dblog as log
) as entry
