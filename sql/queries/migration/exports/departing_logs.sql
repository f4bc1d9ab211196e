-- name: departing_logs
-- purpose: The logs that leave the database in step 0024 for one reason, as they are written to a
--     file; read by a cursor
-- parameters: $1 reason text: one of those that departing_log_counts gives
-- step: django_0024
-- result: id int, time text, loggername varchar, levelname varchar, objpk int,
--     objname varchar, message text, metadata text; one row per log, by id. The metadata as JSON:
--     where they are text, a string. Times in UTC, as text, for Python cannot hold all of them
select
    log.id,
    to_json(log.time at time zone 'UTC') #>> '{}' as time,
    log.loggername,
    log.levelname,
    log.objpk,
    log.objname,
    log.message,
    to_jsonb(log.metadata)::text as metadata
from aiidadb_departing_logs as departing
inner join db_dblog as log on log.id = departing.log_id
where departing.reason = $1::text
order by log.id
