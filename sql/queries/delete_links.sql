-- name: delete_links
-- purpose: Delete all links to and from nodes
-- parameters: $1 pks bigint[]: the nodes, locked already
-- result: number bigint, the links deleted; one row
with doomed as materialized (
    select touched.id
    from unnest($1::bigint[]) as asked (pk)
    cross join lateral (
        -- A link between two of the nodes is found from both ends.
        select link.id
        from db_dblink as link
        where link.input_id = asked.pk
        union all
        select link.id
        from db_dblink as link
        where link.output_id = asked.pk
        offset 0
    ) as touched
),

-- In the order of their ids, because a link may lead to a node that another deletion is at.
locked as materialized (
    select link.id
    from db_dblink as link
    where link.id in (select doomed.id from doomed)
    order by link.id
    for update
),

deleted as (
    delete from db_dblink as link
    using locked
    where link.id = locked.id
    returning link.id
)

select count(*) as number
from deleted
