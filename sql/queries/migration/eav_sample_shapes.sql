-- name: eav_sample_shapes
-- purpose: The shapes that a sample of the nodes has, for its attributes or its extras.
-- parameters: $1 node_ids integer[]: the nodes
-- result: tokens text[], uses bigint (more than one: a node of a sample stands for many), bearer
--     bigint (twice the id of a node that has it, and one more for its extras); one row a shape
with entry as (
    select
        dbnode_id as node,
        false as extra,
        key,
        datatype,
        ival,
        fval,
        dval
    from db_dbattribute
    where dbnode_id = any($1::integer[])
    union all
    select
        dbnode_id as node,
        true as extra,
        key,
        datatype,
        ival,
        fval,
        dval
    from db_dbextra
    where dbnode_id = any($1::integer[])
),

shape as (
    select
        entry.node,
        entry.extra,
        array_agg(
            pg_temp.aiidadb_row_token(entry.datatype, entry.key, entry.ival, entry.fval, entry.dval)
            order by entry.key
        ) as tokens
    from entry
    group by entry.node, entry.extra
)

select
    shape.tokens,
    count(*) + 1 as uses,
    min(shape.node::bigint * 2 + shape.extra::integer) as bearer
from shape
group by shape.tokens
