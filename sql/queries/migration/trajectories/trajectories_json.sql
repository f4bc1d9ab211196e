-- name: trajectories_json
-- purpose: Those of trajectories, in the sqlalchemy line, where attributes always were JSONB
-- parameters: none
-- schema: sqlalchemy_25_37f3d4882837
-- result: id int, uuid text, has_array bool; one row per trajectory, by id; whether its attributes
--     speak of an array of symbols
select
    node.id,
    node.uuid::text as uuid,
    coalesce(node.attributes ? 'array|symbols', false) as has_array
from db_dbnode as node
where node.type = 'node.data.array.trajectory.TrajectoryData.'
    and node.uuid is not null
order by node.id
