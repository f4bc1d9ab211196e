-- name: migration_unlock
-- purpose: Gives back the lock of which a database has one, if the session has it: the session
--     itself ends some time after its client has gone
-- parameters: none
-- result: given_back bool; one row
select true as given_back
from pg_advisory_unlock_all()
