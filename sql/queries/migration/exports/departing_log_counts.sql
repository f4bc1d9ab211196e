-- name: departing_log_counts
-- purpose: How many logs leave the database in step 0024, and why. The step itself has listed them
--     in the temporary table aiidadb_departing_logs, from which it deletes them afterwards too
-- parameters: none
-- step: django_0024
-- result: reason text, number bigint; one row per reason that there is
select
    departing.reason,
    count(*) as number
from aiidadb_departing_logs as departing
group by departing.reason
order by departing.reason
