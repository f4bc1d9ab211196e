-- name: odd_settings
-- purpose: Settings whose value a document cannot hold, or may not be able to hold
-- parameters: none
-- schema: django_0001, django_0036
-- result: pk bigint, key text, datatype text, written text, moment text; one row per setting, by
--     id; the text of a value, or the time
select
    setting.id::bigint as pk,
    setting.key::text as key,
    setting.datatype::text as datatype,
    setting.tval as written,
    setting.dval::text as moment
from db_dbsetting as setting
where
    case setting.datatype
        when 'txt' then false
        when 'int' then false
        when 'float' then setting.fval is null
        when 'list' then false
        when 'dict' then false
        when 'bool' then false
        when 'none' then false
        when 'date'
            then setting.dval < '0001-01-01 00:00:00+00'
            or setting.dval >= '10000-01-01 00:00:00+00'
        else true
    end
order by setting.id
