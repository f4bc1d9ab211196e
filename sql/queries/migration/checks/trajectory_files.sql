-- name: trajectory_files
-- purpose: The trajectories whose symbols 0026 reads from files, in a database of any version
--     before it; read by a cursor
-- parameters: none
-- schema: django_0001, django_0025
-- result: pk bigint, uuid text; one row per trajectory, by id
select
    node.id::bigint as pk,
    node.uuid::text as uuid
from db_dbnode as node
inner join db_dbattribute as symbols_array
    on symbols_array.dbnode_id = node.id
    and symbols_array.key = 'array|symbols'
-- the second is the name that step 0025 gives the type
where
    node.type in (
        'data.array.trajectory.TrajectoryData.', 'node.data.array.trajectory.TrajectoryData.'
    )
order by node.id
