-- name: eav_setting_count
-- purpose: How many settings there are.
-- parameters: none
-- result: one row of one bigint
select count(*) from db_dbsetting
