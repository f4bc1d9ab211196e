-- name: suspect_nodes
-- purpose: Those of some nodes that have attributes, or extras, which are items of no list or dict,
--     or are beyond their list's length, or lists longer than any should be
-- parameters: $1 nodes int[]: the nodes
-- tables: db_dbattribute, db_dbextra
-- schema: django_0001, django_0036
-- result: node int; one row per node
with entry as (
    -- what is behind the last dot is a row's place in its list or dict
    select
        record.dbnode_id,
        record.key,
        record.datatype,
        record.ival,
        strpos(reverse(record.key), '.') as dot
    from unnest($1::int[]) as wanted (node)
    inner join /*{table}*/ db_dbattribute as record on record.dbnode_id = wanted.node
)

select item.dbnode_id as node
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
select unbounded.dbnode_id as node
from entry as unbounded
where unbounded.datatype = 'list'
    and coalesce(unbounded.ival, 1000001) > 1000000
