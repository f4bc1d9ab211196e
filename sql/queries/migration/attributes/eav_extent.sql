-- name: eav_extent
-- purpose: How much there is to do: how many nodes and settings, and the range of the nodes' ids
-- parameters: none
-- step: django_0037
-- result: nodes bigint, first_id int, last_id int, settings bigint; one row: how many there are of
--     each, and the least and the highest id of a node, null where there is none
select
    (select count(*) from db_dbnode) as nodes,
    (select min(id) from db_dbnode) as first_id,
    (select max(id) from db_dbnode) as last_id,
    (select count(*) from db_dbsetting) as settings
