-- name: nodes_to_delete
-- purpose: What AiiDA's provenance rules ask to delete along with some nodes
-- parameters: $1 pks bigint[]: the nodes to begin with
--     $2 forward text[]: types of links whose output goes with the input
--     $3 backward text[]: types of links whose input goes with the output
-- result: pk bigint; one row per node that exists, ascending
with recursive doomed (pk) as (
    select node.id::bigint
    from unnest($1::bigint[]) as asked (pk)
    inner join db_dbnode as node on node.id = asked.pk

    -- Without `all`: what was reached is dropped, so cycles end.
    union

    select reached.pk
    from doomed
    inner join lateral (
        -- The fence makes two probes of an index of each node reached, never a scan of all links.
        select link.output_id::bigint as pk
        from db_dblink as link
        where link.input_id = doomed.pk
            and link.type = any($2::text[])

        union all

        select link.input_id::bigint as pk
        from db_dblink as link
        where link.output_id = doomed.pk
            and link.type = any($3::text[])

        limit all offset 0
    ) as reached on true
)

select doomed.pk
from doomed
order by doomed.pk
