-- name: delete_nodes
-- purpose: Delete nodes that nothing refers to any more
-- parameters: $1 pks bigint[]: the nodes, locked already
-- result: number bigint; one row: how many nodes were deleted
with deleted as (
    delete from db_dbnode as node
    using unnest($1::bigint[]) as asked (pk)
    where node.id = asked.pk
    returning node.id
)

select count(*) as number
from deleted
