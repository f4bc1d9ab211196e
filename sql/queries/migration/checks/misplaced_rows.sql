-- name: misplaced_rows
-- purpose: The rows of nodes some of whose attributes, or extras, may have no place, as 0037 nests
--     them; read by a cursor
-- parameters: $1 nodes int[]: the nodes
-- tables: db_dbattribute, db_dbextra
-- schema: django_0001, django_0036
-- result: node int, tokens text[]; one row per node, by id
select
    record.dbnode_id as node,
    array_agg(
        case record.datatype
            when 'list' then '[' || coalesce(record.ival::text, '') || ' '
            when 'dict' then '{'
            else '='
        end || record.key
    ) as tokens
from unnest($1::int[]) as wanted (node)
inner join /*{table}*/ db_dbattribute as record on record.dbnode_id = wanted.node
group by record.dbnode_id
order by record.dbnode_id
