-- name: trajectory_counts_json
-- purpose: Those of trajectory_counts, in the sqlalchemy line
-- parameters: none
-- schema: sqlalchemy_25_37f3d4882837
-- result: nodes bigint, with_array bigint; one row
select
    count(*) as nodes,
    count(*) filter (where node.attributes ? 'array|symbols') as with_array
from db_dbnode as node
where node.type = 'node.data.array.trajectory.TrajectoryData.'
