-- name: schema_settings
-- purpose: The schema's version and generation among the settings, in a database from 1.0.37 on
-- parameters: none
-- result: key text, value text; one row for each of the two that is set; the value is null where it
--     is not a string
select
    setting.key::text as key,
    case jsonb_typeof(setting.val)
        when 'string' then setting.val #>> '{}'
    end as value
from public.db_dbsetting as setting
where setting.key in ('db|schemaversion', 'schema_generation')
order by setting.key
