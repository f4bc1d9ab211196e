-- name: create_process_state_index
-- purpose: Creates the index on the states of processes. It covers all nodes, though only processes
--     have a state: what the planner knows of the values in an index is of no use to it where the
--     index covers some rows, and it would read all nodes by their time for the ten newest. It
--     has the first ten characters, one more than the longest state: an index refuses long texts,
--     and any node can have an attribute of this name
-- parameters: none
-- result: none
create index aiidadb_process_state on db_dbnode (left(attributes ->> 'process_state', 10))
