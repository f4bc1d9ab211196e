-- migration: django_0038
-- from: 1.0.37
-- to: 1.0.38
-- also: 26d561acd560
-- changes: Calculation jobs that still carry a `state` of AiiDA 0.x get what a process has instead:
--     `process_state`, `process_label`, and either `process_status` or `exit_status`. `state` is
--     removed.
-- why: AiiDA 1.0 made calculation jobs processes, and their old states mean nothing to it. The
--     states of 1.0's own jobs are in lower case, so none of them is mistaken for an old one. One
--     statement where AiiDA has twelve; same outcome.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode
--     where node_type = 'process.calculation.calcjob.CalcJobNode.'
--     and attributes ->> 'state' in (
--         'NEW', 'TOSUBMIT', 'SUBMITTING', 'WITHSCHEDULER', 'COMPUTED', 'RETRIEVING', 'PARSING',
--         'SUBMISSIONFAILED', 'RETRIEVALFAILED', 'PARSINGFAILED', 'FAILED', 'FINISHED'
--     )

with legacy (state, process_state, exit_status) as (
    values
        -- Still running when the database was left: nothing will ever resume it.
        ('NEW', 'killed', null::integer),
        ('TOSUBMIT', 'killed', null),
        ('SUBMITTING', 'killed', null),
        ('WITHSCHEDULER', 'killed', null),
        ('COMPUTED', 'killed', null),
        ('RETRIEVING', 'killed', null),
        ('PARSING', 'killed', null),
        -- AiiDA's own work around the job failed.
        ('SUBMISSIONFAILED', 'excepted', null),
        ('RETRIEVALFAILED', 'excepted', null),
        ('PARSINGFAILED', 'excepted', null),
        -- The job ran to its end, well or not.
        ('FAILED', 'finished', 2),
        ('FINISHED', 'finished', 0)
),

-- What comes in the state's place; a key that does not apply is left out, not null.
replacement (state, attributes) as (
    select
        state,
        jsonb_strip_nulls(
            jsonb_build_object(
                'process_state', process_state,
                'process_label', 'Legacy JobCalculation',
                'process_status', case
                    when exit_status is null
                        then format('Legacy `JobCalculation` with state `%s`', state)
                end,
                'exit_status', exit_status
            )
        )
    from legacy
)

update db_dbnode as job
set attributes = (job.attributes - 'state') || replacement.attributes
from replacement
where job.node_type = 'process.calculation.calcjob.CalcJobNode.'
    and job.attributes ->> 'state' = replacement.state;
