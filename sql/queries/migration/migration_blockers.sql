-- name: migration_blockers
-- purpose: Who else uses the tables that a step could not lock, to name them to the user
-- parameters: $1 tables text[]: the tables that the step touches
-- result: table_name text, pid int, role text, application text, state text, since timestamptz; one
--     row per session and table, with the begin of its transaction; nulls where the role may not
--     see it
select
    class.relname::text as table_name,
    held.pid,
    activity.usename::text as role,
    activity.application_name as application,
    activity.state,
    activity.xact_start as since
from pg_locks as held
inner join pg_class as class on class.oid = held.relation
left join pg_stat_activity as activity on activity.pid = held.pid
where held.locktype = 'relation'
    and held.granted
    and held.pid <> pg_backend_pid()
    and held.database = (
        select database.oid
        from pg_database as database
        where database.datname = current_database()
    )
    and class.relnamespace = quote_ident(current_schema())::regnamespace
    and class.relname = any($1::text[])
group by
    class.relname, held.pid, activity.usename, activity.application_name, activity.state,
    activity.xact_start
order by activity.xact_start, class.relname
