-- name: migration_lock_timeout
-- purpose: Gives the session a lock_timeout that is longer than the server's deadlock_timeout,
--     after which an autovacuum is made to give way, where the one that it has is not
-- parameters: none
-- result: lock_timeout text; one row, or none where it is long enough
select set_config('lock_timeout', (deadlock.setting::bigint + 500)::text, false) as lock_timeout
from pg_settings as deadlock
inner join pg_settings as waiting on waiting.name = 'lock_timeout'
where deadlock.name = 'deadlock_timeout'
    -- Both in milliseconds; 0 means forever.
    and waiting.setting::bigint between 1 and deadlock.setting::bigint
