-- name: schema_settings_eav
-- purpose: The schema's version and generation among the settings, in a database before 1.0.37
-- parameters: none
-- schema: django_0001, django_0036
-- result: key text, value text; one row for each of the two that is set
select
    setting.key::text as key,
    setting.tval::text as value
from public.db_dbsetting as setting
where setting.key in ('db|schemaversion', 'schema_generation')
order by setting.key
