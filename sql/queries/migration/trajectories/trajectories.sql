-- name: trajectories
-- purpose: The trajectories whose symbols step 0026 reads from files; read by a cursor
-- parameters: none
-- schema: django_0025
-- result: id int, uuid text, has_array bool; one row per trajectory, by id; whether its attributes
--     speak of an array of symbols
select
    node.id,
    node.uuid::text as uuid,
    symbols_array.id is not null as has_array
from db_dbnode as node
left join db_dbattribute as symbols_array
    on symbols_array.dbnode_id = node.id
    and symbols_array.key = 'array|symbols'
where node.type = 'node.data.array.trajectory.TrajectoryData.'
order by node.id
