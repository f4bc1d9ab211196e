-- name: time_zones
-- purpose: The names of time zones that the server knows
-- parameters: none
-- result: name text; one row per time zone
select zone.name
from pg_timezone_names as zone
