-- name: trajectory_files_json
-- purpose: Those of trajectory_files, in the sqlalchemy line, where attributes always were JSONB
-- parameters: none
-- schema: sqlalchemy_01_e15ef2630a1b, sqlalchemy_25_37f3d4882837
-- result: pk bigint, uuid text; one row per trajectory, by id
select
    node.id::bigint as pk,
    node.uuid::text as uuid
from db_dbnode as node
-- the second is the name that 6a5c2ea1439d gives the type
where
    node.type in (
        'data.array.trajectory.TrajectoryData.', 'node.data.array.trajectory.TrajectoryData.'
    )
    and node.attributes ? 'array|symbols'
    and node.uuid is not null
order by node.id
