-- migration: sqlalchemy_05_35d4ee9a1b0e
-- from: 89176227b25
-- to: 35d4ee9a1b0e
-- changes: The attribute `hidden` of codes becomes an extra, in place of one of that name.
-- why: Attributes of a stored node do not change; whether a code is hidden does. What is neither
--     true nor false is removed without a trace, as in AiiDA, to which it meant nothing.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode where type = 'code.Code.' and attributes ? 'hidden'

update db_dbnode
set
    extras = case
        when attributes -> 'hidden' in ('true', 'false')
            then jsonb_set(
                coalesce(nullif(extras, 'null'), '{}'), '{hidden}', attributes -> 'hidden'
            )
        else extras
    end,
    attributes = attributes - 'hidden'
where type = 'code.Code.'
    and attributes ? 'hidden';
