-- name: matches_among
-- purpose: Those of some nodes that meet criteria
-- parameters: $1 nodes text: pks of the nodes to test, as the text of an array, since asyncpg
--     writes a long array in one go
-- slots: match
-- result: nodes bytea; one row: the pks of those that do, four bytes each, the highest first; null
--     where there are none
select string_agg(int4send(db_dbnode.id), '') as nodes
from db_dbnode
-- In a subquery, where the planner cannot see how many there are: see links_above.
where db_dbnode.id = any((select $1::text::int[])::int[])
    and /*{match}*/ true
