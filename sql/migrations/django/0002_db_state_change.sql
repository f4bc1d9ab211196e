-- migration: django_0002
-- from: 1.0.1
-- to: 1.0.2
-- changes: Calculation states UNDETERMINED and NOTFOUND become FAILED, and each of them leaves a
--     warning in the log of its calculation.
-- why: The two states made no sense and were removed. AiiDA's step fails where a calculation would
--     get FAILED twice; here it keeps the one it has, or the earliest.
-- tables: db_dbcalcstate, db_dblog
-- rows: select count(*) from db_dbcalcstate where state in ('UNDETERMINED', 'NOTFOUND')

-- First, while the old states can still be distinguished.
insert into db_dblog (time, loggername, levelname, objname, objpk, message, metadata)
select
    now(),
    'aiida.' || rtrim(calculation.type, '.'),
    'WARNING',
    'node.' || calculation.type,
    calculation.id,
    format(
        'Job state %s found for calculation %s which should never be in the database. '
        'Changed state to FAILED.',
        removed.state, calculation.id
    ),
    '{}'
from db_dbcalcstate as removed
inner join db_dbnode as calculation on calculation.id = removed.dbnode_id
where removed.state in ('UNDETERMINED', 'NOTFOUND')
order by removed.id;

with ranked as (
    -- A state is unique to its calculation: of those that end up as FAILED one is kept.
    select
        id,
        row_number() over (partition by dbnode_id order by state <> 'FAILED', time, id) as rank
    from db_dbcalcstate
    where state in ('FAILED', 'UNDETERMINED', 'NOTFOUND')
)

delete from db_dbcalcstate as superfluous
using ranked
where superfluous.id = ranked.id
    and ranked.rank > 1;

update db_dbcalcstate
set state = 'FAILED'
where state in ('UNDETERMINED', 'NOTFOUND');
