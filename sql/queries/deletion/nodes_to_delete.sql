-- name: nodes_to_delete
-- purpose: What AiiDA's provenance rules require to delete along with some nodes
-- parameters: $1 pks text: the nodes to begin with, as the text of an array, since asyncpg writes a
--     long array in one go
--     $2 forward text[]: types of links whose output goes with the input
--     $3 backward text[]: types of links whose input goes with the output
-- result: pks bytea; one row: the pks of nodes that exist, ascending, four bytes each, the highest
--     first; null where there are none
with recursive doomed (pk) as (
    select node.id
    from db_dbnode as node
    where
        -- An array that the planner cannot look into is assumed to be short: the index is used.
        node.id = any(array(
            select asked.pk
            from unnest($1::text::bigint[]) as asked (pk)
        ))

    -- Without `all`: what was reached is dropped, so cycles end.
    union

    select reached.pk
    from doomed
    inner join lateral (
        -- The fence makes two probes of an index of each node reached, never a scan of all links.
        select link.output_id as pk
        from db_dblink as link
        where link.input_id = doomed.pk
            and link.type = any($2::text[])

        union all

        select link.input_id as pk
        from db_dblink as link
        where link.output_id = doomed.pk
            and link.type = any($3::text[])

        limit all offset 0
    ) as reached on true
)

select string_agg(int4send(doomed.pk), '' order by doomed.pk) as pks
from doomed
