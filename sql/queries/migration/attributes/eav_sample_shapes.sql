-- name: eav_sample_shapes
-- purpose: The shapes that a sample of the nodes has, for its attributes or its extras
-- parameters: $1 node_ids int[]: the nodes
-- step: django_0037
-- result: tokens text[], uses bigint, bearer bigint; one row per shape. The uses are more than one,
--     as a node of a sample stands for many; the bearer is twice the id of a node that has it, and
--     one more for its extras
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
    where dbnode_id = any($1::int[])
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
    where dbnode_id = any($1::int[])
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
    min(shape.node::bigint * 2 + shape.extra::int) as bearer
from shape
group by shape.tokens
