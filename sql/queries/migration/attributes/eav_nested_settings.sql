-- name: eav_nested_settings
-- purpose: The settings that are lists or dicts, each with the rows of its items, whose keys begin
--     with its own
-- parameters: none
-- step: django_0037
-- result: key varchar, tokens text[], row_values text[]; one row per setting, by key, its own row
--     among the tokens. Of the values, each is JSON; null for lists and dicts; `?`, datatype and
--     text where it is not JSON
select
    whole.key,
    array_agg(
        pg_temp.aiidadb_row_token(part.datatype, part.key, part.ival, part.fval, part.dval)
        order by part.key
    ) as tokens,
    array_agg(
        coalesce(
            -- where AiiDA 0.x kept JSON as text
            case part.datatype when 'json' then pg_temp.aiidadb_jsonb(part.tval)::text end,
            pg_temp.aiidadb_row_value(
                part.datatype, part.tval, part.ival, part.fval, part.bval, part.dval
            )
        )
        order by part.key
    ) as row_values
from db_dbsetting as whole
inner join db_dbsetting as part
    on part.key = whole.key
    or starts_with(part.key, whole.key || '.')
where whole.datatype in ('list', 'dict')
    and position('.' in whole.key) = 0
group by whole.key
order by whole.key
