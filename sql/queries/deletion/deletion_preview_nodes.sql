-- name: deletion_preview_nodes
-- purpose: Which of the nodes asked for exist, and of which type they are
-- parameters: $1 pks bigint[]: the nodes that may be deleted
-- result: pk bigint, node_type text; one row per node that exists
select
    node.id::bigint as pk,
    node.node_type::text
from unnest($1::bigint[]) as asked (pk)
inner join db_dbnode as node on node.id = asked.pk
