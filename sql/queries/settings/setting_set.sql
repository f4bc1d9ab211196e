-- name: setting_set
-- purpose: Write a setting, new or not, in one statement: of two concurrent writers the later one
--     stays, whole
-- parameters: $1 key text: its key
--     $2 value text: JSON text, or null
--     $3 description text: null keeps the old one, or leaves a new one empty
-- result: none
insert into db_dbsetting as setting (key, val, description, time)
values (
    $1::text,
    $2::text::jsonb,
    coalesce($3::text, ''),
    clock_timestamp()
)
on conflict (key) do update
    set val = excluded.val,
        description = coalesce($3::text, setting.description),
        time = excluded.time
