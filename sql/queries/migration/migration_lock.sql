-- name: migration_lock
-- purpose: Takes the lock of which a database has one, so that only one process migrates it
-- parameters: $1 key bigint: the lock's number
-- result: taken bool; one row
select pg_try_advisory_lock($1::bigint) as taken
