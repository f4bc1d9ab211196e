-- name: setting_get
-- purpose: One setting
-- parameters: $1 key text: its key
-- result: key text, value jsonb, description text, time timestamptz; one row, or none
select
    setting.key::text as key,
    setting.val as value,
    setting.description,
    setting.time
from db_dbsetting as setting
where setting.key = $1::text
