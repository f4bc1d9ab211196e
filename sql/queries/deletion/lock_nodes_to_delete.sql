-- name: lock_nodes_to_delete
-- purpose: Lock the nodes to delete, in the order of their pks, so that two deletions wait for
--     each other instead of deadlocking, and no other session can link to one of them any more
-- parameters: $1 pks text: the nodes to delete, as the text of an array, since asyncpg writes
--     a long array in one go
-- result: pk bigint; one row per node that does not exist, ascending
with
-- By the index, as the planner assumes an array that it cannot look into to be short.
locked as (
    select node.id
    from db_dbnode as node
    where
        node.id = any(array(
            select asked.pk
            from unnest($1::text::bigint[]) as asked (pk)
        ))
    order by node.id
    for update
)

select asked.pk
from unnest($1::text::bigint[]) as asked (pk)

-- Nodes that exist are not sent back: that would be nearly all.
except

select locked.id::bigint
from locked
order by pk
