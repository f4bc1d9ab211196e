-- name: json_text_rows_before_0024
-- purpose: The text that 0033 turns into JSONB, of those logs that 0024 keeps; read by a cursor, to
--     find those texts that are not JSON, or that JSONB cannot hold
-- parameters: none
-- schema: django_0001, django_0023
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
    -- the others are gone by then
    inner join db_dbnode as node on node.id = log.objpk
    where log.objname like 'node.%'
) as entry
order by entry.subject, entry.id
