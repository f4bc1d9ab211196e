-- name: misplaced_rows
-- purpose: The rows of nodes some of whose attributes, or extras, may have no place, as 0037 nests
--     them; read by a cursor
-- parameters: $1 first int: the lowest id of a node to look at
--     $2 last int: the highest
-- tables: db_dbattribute, db_dbextra
-- schema: django_0001, django_0036
-- result: node int, tokens text[]; one row per node, by id
with entry as (
    select
        record.dbnode_id,
        record.key,
        record.datatype,
        record.ival,
        strpos(reverse(record.key), '.') as dot
    from /*{table}*/ db_dbattribute as record
    inner join db_dbnode as node on node.id = record.dbnode_id
    where record.dbnode_id between $1::int and $2::int
),

suspect as (
    -- those with an item whose list or dict has no row, or whose place is not within it
    select distinct item.dbnode_id
    from entry as item
    left join entry as holder
        on holder.dbnode_id = item.dbnode_id
        and holder.key = left(item.key, -item.dot)
        and holder.datatype in ('list', 'dict')
    where item.dot > 0
        and case
            when holder.key is null then true
            when holder.datatype = 'dict' then false
            when item.dot > 10 or right(item.key, item.dot - 1) !~ '^(0|[1-9][0-9]*)$' then true
            else right(item.key, item.dot - 1)::int >= coalesce(holder.ival, 0)
        end
    union
    select unbounded.dbnode_id
    from entry as unbounded
    where unbounded.datatype = 'list'
        and coalesce(unbounded.ival, 1000001) > 1000000
)

select
    entry.dbnode_id as node,
    array_agg(
        case entry.datatype
            when 'list' then '[' || coalesce(entry.ival::text, '') || ' '
            when 'dict' then '{'
            else '='
        end || entry.key
    ) as tokens
from entry
where entry.dbnode_id in (select suspect.dbnode_id from suspect)
group by entry.dbnode_id
order by entry.dbnode_id
