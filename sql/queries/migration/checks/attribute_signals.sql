-- name: attribute_signals
-- purpose: The shapes that nodes' attributes, or extras, have: which of their rows are lists and
--     dicts, and which are items of some. Nodes of one shape are all as 0037 needs them, or none
--     is, so that looking at one of each is enough
-- parameters: $1 shapes float8[]: the shapes of which each node is wanted; null for one node of
--     each shape there is
-- tables: db_dbattribute, db_dbextra
-- schema: django_0001, django_0036
-- result: shape float8, node int, gone bool; one row per shape, of nodes that are there and of
--     nodes that are gone; nodes that are there and have neither lists nor dicts nor items are left
--     out, and those with an invalid value are one row each, of infinite shape
with shaped as (
    -- A node's shape is the sum of its rows' marks. These are whole numbers of 36 bits, which
    -- come to the same in any order, up to a quarter of a million of them at least.
    select
        record.dbnode_id,
        sum(
            coalesce(
                -- as a list or dict; null for an invalid value
                case record.datatype
                    when 'float' then case when record.fval is not null then 0 end
                    when 'txt' then 0
                    when 'int' then 0
                    when 'list' then hashtextextended(record.key, record.ival + 2::bigint) >> 28
                    when 'dict' then hashtextextended(record.key, 1) >> 28
                    when 'bool' then 0
                    when 'none' then 0
                    when 'date'
                        then case
                            when record.dval < '0001-01-01 00:00:00+00' then null
                            when record.dval >= '10000-01-01 00:00:00+00' then null
                            else 0
                        end
                end
                -- as an item of one
                + case
                    when strpos(record.key, '.') > 0 then hashtextextended(record.key, 0) >> 28
                    else 0
                end,
                'infinity'::float8
            )
        ) as shape
    from /*{table}*/ db_dbattribute as record
    group by record.dbnode_id
)

select
    shaped.shape,
    min(shaped.dbnode_id) as node,
    node.id is null as gone
from shaped
left join db_dbnode as node on node.id = shaped.dbnode_id
where
    (shaped.shape <> 0 or node.id is null)
    and ($1::float8[] is null or shaped.shape = any($1::float8[]))
group by
    shaped.shape,
    node.id is null,
    case when $1::float8[] is not null or shaped.shape = 'infinity' then shaped.dbnode_id end
order by node
