-- name: migration_session
-- purpose: Gives the session the settings that a migration needs, whatever role and database have;
--     those that the server does not know are ignored
-- parameters: $1 names text[]: of the settings
--     $2 texts text[]: their values, in the same order
-- result: name text; one row per setting that was set
select set_config(wanted.name, wanted.text, false) as name
from unnest($1::text[], $2::text[]) as wanted (name, text)
inner join pg_settings as known on lower(known.name) = lower(wanted.name)
