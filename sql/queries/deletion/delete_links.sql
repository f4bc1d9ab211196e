-- name: delete_links
-- purpose: Delete all links to and from nodes
-- parameters: $1 pks bigint[]: the nodes, locked already
-- result: number bigint; one row: how many links were deleted
with deleted as (
    -- By their place in the table, which the server sorts: a link may lead to a node that another
    -- deletion is at, and two that lock such links in one order do not deadlock.
    delete from db_dblink as link
    where
        link.ctid = any(array(
            -- A link between two of the nodes is found from both ends.
            select touched.place
            from unnest($1::bigint[]) as asked (pk)
            inner join lateral (
                select outgoing.ctid as place
                from db_dblink as outgoing
                where outgoing.input_id = asked.pk

                union all

                select incoming.ctid as place
                from db_dblink as incoming
                where incoming.output_id = asked.pk

                limit all offset 0
            ) as touched on true
        ))
    returning 1
)

select count(*) as number
from deleted
