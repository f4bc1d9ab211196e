-- name: trajectories_waiting_json
-- purpose: Those of trajectories_waiting, in the sqlalchemy line, run on any revision before
--     12536798d4d3
-- parameters: none
-- schema: sqlalchemy_01_e15ef2630a1b, sqlalchemy_24_6a5c2ea1439d, sqlalchemy_25_37f3d4882837
-- result: number bigint; one row
select count(*) as number
from db_dbnode as node
-- the second is the name that 6a5c2ea1439d gives the type
where
    node.type in (
        'data.array.trajectory.TrajectoryData.', 'node.data.array.trajectory.TrajectoryData.'
    )
    and node.attributes ? 'array|symbols'
