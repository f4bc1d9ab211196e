-- name: departing_links
-- purpose: The links that leave the database in step 0020 with the nodes that they join, as they
--     are written to a file; read by a cursor
-- parameters: none
-- step: django_0020
-- result: id int, reason text, type varchar, label varchar, input_id int, output_id int,
--     input_uuid text, output_uuid text, input_type varchar, output_type varchar; one row per link,
--     by id
select
    link.id,
    departing.reason,
    link.type,
    link.label,
    link.input_id,
    link.output_id,
    source.uuid::text as input_uuid,
    target.uuid::text as output_uuid,
    source.type as input_type,
    target.type as output_type
from aiidadb_departing_links as departing
inner join db_dblink as link on link.id = departing.link_id
left join db_dbnode as source on source.id = link.input_id
left join db_dbnode as target on target.id = link.output_id
order by link.id
