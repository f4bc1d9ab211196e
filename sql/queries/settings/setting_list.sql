-- name: setting_list
-- purpose: All settings
-- parameters: none
-- result: key text, value text, description text, time timestamptz, odd_time text; one row per
--     setting, by key: the value as JSON text, and the time, null where Python cannot hold it, that
--     is before Christ, after 9999, or infinite, and then as text in UTC
select
    setting.key::text as key,
    setting.val::text as value,
    setting.description::text,
    case when held.time then setting.time end as time,
    case when not held.time then to_json(setting.time at time zone 'UTC') #>> '{}' end as odd_time
from db_dbsetting as setting
inner join lateral (
    select
        setting.time between '0001-01-01 00:00:00+00'::timestamptz
        and '9999-12-31 23:59:59.999999+00'::timestamptz as time
) as held on true
order by setting.key
