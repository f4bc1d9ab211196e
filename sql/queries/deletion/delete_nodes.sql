-- name: delete_nodes
-- purpose: Delete nodes that nothing refers to any more
-- parameters: $1 pks bigint[]: the nodes, locked already
-- result: none
delete from db_dbnode as node
where
    -- An array that the planner cannot look into is assumed to be short: the index is used.
    node.id = any(array(
        select asked.pk
        from unnest($1::bigint[]) as asked (pk)
    ))
