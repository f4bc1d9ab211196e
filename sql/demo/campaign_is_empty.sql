-- name: campaign_is_empty
-- purpose: Whether a database has no node yet
-- parameters: none
-- result: is_empty bool; one row
select not exists (select 1 from db_dbnode) as is_empty
