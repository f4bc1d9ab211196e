-- migration: django_0026
-- from: 1.0.25
-- to: 1.0.26
-- changes: Trajectories get the attribute `symbols` from the array `symbols.npy` in the file repository.
-- why: The symbols of the atoms can then be asked for in the database.
-- tables: db_dbattribute

-- call: move_trajectory_symbols
