-- migration: django_0027
-- from: 1.0.26
-- to: 1.0.27
-- also: ce56d84bcc35
-- changes: Trajectories that have the attribute `symbols` lose the attribute `array|symbols`.
-- why: The symbols are not kept twice. AiiDA also deletes the file `symbols.npy`; here the file
--     stays as long as the old repository does. aiida-core 2.9.4 deletes the attribute of every
--     node of any type; 1.6.9 of trajectories alone, as here. A trajectory whose symbols 0026 could
--     not move keeps what it has.
-- tables: db_dbattribute
-- sqlalchemy tables: db_dbnode
-- rows: select count(*)
--     from db_dbnode as trajectory
--     join db_dbattribute as symbols
--         on symbols.dbnode_id = trajectory.id
--        and symbols.key = 'symbols'
--        and symbols.datatype = 'list'
--     join db_dbattribute as array_row on array_row.dbnode_id = trajectory.id
--     where trajectory.type = 'node.data.array.trajectory.TrajectoryData.'
--       and (array_row.key = 'array|symbols' or array_row.key like 'array|symbols.%')
-- sqlalchemy rows: select count(*) from db_dbnode
--     where type = 'node.data.array.trajectory.TrajectoryData.'
--         and attributes ? 'array|symbols'
--         and jsonb_typeof(attributes -> 'symbols') = 'array'

-- django alone:
delete from db_dbattribute as array_row
using db_dbnode as trajectory, db_dbattribute as symbols
where trajectory.type = 'node.data.array.trajectory.TrajectoryData.'
    and symbols.dbnode_id = trajectory.id
    and symbols.key = 'symbols'
    and symbols.datatype = 'list'
    and array_row.dbnode_id = trajectory.id
    and (array_row.key = 'array|symbols' or array_row.key like 'array|symbols.%');

-- sqlalchemy alone:
update db_dbnode
set attributes = attributes - 'array|symbols'
where type = 'node.data.array.trajectory.TrajectoryData.'
    and attributes ? 'array|symbols'
    and jsonb_typeof(attributes -> 'symbols') = 'array';
