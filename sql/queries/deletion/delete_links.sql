-- name: delete_links
-- purpose: Delete all links to and from nodes
-- parameters: $1 pks text: the nodes, locked already, as the text of an array, since asyncpg writes
--     a long array in one go
-- result: none
delete from db_dblink as link
where
    -- By their place in the table, which the server sorts: a link may lead to a node that another
    -- deletion works on, and two that lock such links in one order do not deadlock. A link between
    -- two of the nodes is found from both ends. Arrays that the planner cannot look into are
    -- assumed to be short: both indexes are used.
    link.ctid = any(array(
        select outgoing.ctid
        from db_dblink as outgoing
        where
            outgoing.input_id = any(array(
                select asked.pk
                from unnest($1::text::bigint[]) as asked (pk)
            ))

        union all

        select incoming.ctid
        from db_dblink as incoming
        where
            incoming.output_id = any(array(
                select asked.pk
                from unnest($1::text::bigint[]) as asked (pk)
            ))
    ))
