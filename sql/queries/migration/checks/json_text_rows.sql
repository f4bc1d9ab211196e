-- name: json_text_rows
-- purpose: The text that 0033 turns into JSONB; read by a cursor, to find those texts that are not
--     JSON, or that JSONB cannot hold
-- parameters: none
-- schema: django_0024, django_0032
-- result: subject text, pk bigint, written text; one row per column and row of its table, by both
select
    entry.subject,
    entry.id::bigint as pk,
    entry.written
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
order by entry.subject, entry.id
