-- name: migration_lock_in_transaction
-- purpose: Waits for the lock of which a database has one, and keeps it to the end of the
--     transaction, so that no other session migrates the database or records a version meanwhile
-- parameters: $1 key bigint: the lock's number
-- result: taken bool; one row
select true as taken
from pg_advisory_xact_lock($1::bigint)
