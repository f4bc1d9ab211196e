-- name: eav_extent
-- purpose: How much there is to do: how many nodes and settings, and between which ids the nodes
--     are.
-- parameters: none
-- result: nodes bigint, first_id integer, last_id integer (null where there is no node), settings
--     bigint; one row
select
    (select count(*) from db_dbnode) as nodes,
    (select min(id) from db_dbnode) as first_id,
    (select max(id) from db_dbnode) as last_id,
    (select count(*) from db_dbsetting) as settings
