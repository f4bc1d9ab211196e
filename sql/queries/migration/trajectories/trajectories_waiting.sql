-- name: trajectories_waiting
-- purpose: How many trajectories have symbols in files that step 0026 will need, run before any
--     step, on a database before 1.0.26
-- parameters: none
-- schema: django_0001, django_0024, django_0025
-- result: number bigint; one row
select count(*) as number
from db_dbnode as node
inner join db_dbattribute as symbols_array
    on symbols_array.dbnode_id = node.id
    and symbols_array.key = 'array|symbols'
-- the second is the name that step 0025 gives the type
where
    node.type in (
        'data.array.trajectory.TrajectoryData.', 'node.data.array.trajectory.TrajectoryData.'
    )
