-- name: schema_settings
-- purpose: The schema's version and generation among the settings. They are in the column `val`, of
--     JSON, from 1.0.37 on, and in `tval` before; a row as JSON has whichever there is when it is
--     read
-- parameters: none
-- schema: django_0001, django_0036, django_0045, main_0002
-- result: source text, name text, value text; one row for each of the two that is set: its key, and
--     its value, which is null where it is not a string
select
    'db_dbsetting' as source,
    setting.key::text as name,
    coalesce(
        case jsonb_typeof(to_jsonb(setting) -> 'val')
            when 'string' then to_jsonb(setting) ->> 'val'
        end,
        to_jsonb(setting) ->> 'tval'
    ) as value
from db_dbsetting as setting
where setting.key in ('db|schemaversion', 'schema_generation')
