-- name: trajectory_counts
-- purpose: How many trajectories there are, and how many have an array of symbols in a file, as
--     their attributes say (before step 0026)
-- parameters: none
-- schema: django_0025
-- result: nodes bigint, with_array bigint; one row
select
    count(*) as nodes,
    count(symbols_array.id) as with_array
from db_dbnode as node
left join db_dbattribute as symbols_array
    on symbols_array.dbnode_id = node.id
    and symbols_array.key = 'array|symbols'
where node.type = 'node.data.array.trajectory.TrajectoryData.'
