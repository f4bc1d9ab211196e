-- name: setting_delete
-- purpose: Remove a setting
-- parameters: $1 key text: its key
-- result: key text; one row, or none where there was no such setting
delete from db_dbsetting as setting
where setting.key = $1::text
returning setting.key::text as key
