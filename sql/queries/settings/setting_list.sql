-- name: setting_list
-- purpose: All settings
-- parameters: none
-- result: key text, value jsonb, description text, time timestamptz; one row per setting, by key
select
    setting.key::text as key,
    setting.val as value,
    setting.description,
    setting.time
from db_dbsetting as setting
order by setting.key
