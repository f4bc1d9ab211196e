-- name: lock_nodes_to_delete
-- purpose: Lock the nodes that are to go, in the order of their pks, so that two deletions wait for
--     each other instead of deadlocking, and nobody can link to one of them any more
-- parameters: $1 pks bigint[]: the nodes to delete
-- result: pk bigint; one row per node that exists, ascending
select node.id::bigint as pk
from unnest($1::bigint[]) as asked (pk)
inner join db_dbnode as node on node.id = asked.pk
order by node.id
for update of node
