-- name: migration_lock_holder
-- purpose: Who holds the lock that migrations take, to name it to those who wait
-- parameters: $1 key bigint: the lock's number
-- result: pid int, role text, application text, address text, since timestamptz; one row at most,
--     with nulls where the role may not see it
select
    held.pid,
    activity.usename::text as role,
    activity.application_name as application,
    host(activity.client_addr) as address,
    activity.backend_start as since
from pg_locks as held
left join pg_stat_activity as activity on activity.pid = held.pid
where held.locktype = 'advisory'
    and held.granted
    and held.database = (
        select database.oid
        from pg_database as database
        where database.datname = current_database()
    )
    -- the two halves of the number, as the view shows it
    and held.classid = ($1::bigint >> 32)::int8::oid
    and held.objid = ($1::bigint & 4294967295)::int8::oid
    and held.objsubid = 1
limit 1
