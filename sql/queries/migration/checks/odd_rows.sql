-- name: odd_rows
-- purpose: Rows of attributes, or extras, whose value a document cannot hold; read by a
--     cursor
-- parameters: none
-- tables: db_dbattribute, db_dbextra
-- schema: django_0001, django_0036
-- result: pk bigint, node int, key text, datatype text, written text, moment text; one row per row,
--     by id; the text of a value, or the time
select
    entry.id::bigint as pk,
    entry.dbnode_id as node,
    entry.key::text as key,
    entry.datatype::text as datatype,
    entry.tval as written,
    entry.dval::text as moment
from /*{table}*/ db_dbattribute as entry
inner join db_dbnode as node on node.id = entry.dbnode_id
where
    case entry.datatype
        when 'txt' then false
        when 'int' then false
        when 'float' then entry.fval is null
        when 'list' then false
        when 'dict' then false
        when 'bool' then false
        when 'none' then false
        when 'date'
            then entry.dval < '0001-01-01 00:00:00+00'
            or entry.dval >= '10000-01-01 00:00:00+00'
        else true
    end
order by entry.id
