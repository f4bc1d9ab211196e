-- name: create_process_state_index
-- purpose: Creates the index on the states of processes. It covers all nodes, although only
--     processes have a state: the planner ignores the statistics of an index that covers only some
--     rows, and would then find the ten newest active processes by reading all nodes in the order
--     of their time. It has the first ten characters, two more than the longest state: an index
--     refuses long texts, and any node can have an attribute of this name
-- parameters: none
-- result: none
create index aiidadb_process_state on db_dbnode (left(attributes ->> 'process_state', 10))
