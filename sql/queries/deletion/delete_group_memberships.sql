-- name: delete_group_memberships
-- purpose: Take nodes out of all groups; in the django line nothing cascades
-- parameters: $1 pks text: the nodes, locked already, as the text of an array, since asyncpg writes
--     a long array in one go
-- result: none
delete from db_dbgroup_dbnodes as one
where
    -- An array that the planner cannot look into is assumed to be short: the index is used.
    one.dbnode_id = any(array(
        select asked.pk
        from unnest($1::text::bigint[]) as asked (pk)
    ))
