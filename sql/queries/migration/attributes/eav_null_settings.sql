-- name: eav_null_settings
-- purpose: Settings that lose what their row holds beside the key: val has no place for it. The
--     items of lists and dicts that were nested are not among them
-- parameters: none
-- step: django_0037
-- result: key varchar, datatype varchar, tval text; one row per setting, by key
select
    setting.key,
    setting.datatype,
    setting.tval
from db_dbsetting as setting
where
    case
        when setting.datatype = 'json' then pg_temp.aiidadb_jsonb(setting.tval) is null
        when setting.datatype in ('none', 'list', 'dict') then false
        else pg_temp.aiidadb_row_token(
                setting.datatype, '', setting.ival, setting.fval, setting.dval
            ) <> '='
    end
    and not exists (
        select
        from pg_temp.aiidadb_setting_document as nested
        where starts_with(setting.key, nested.key || '.')
    )
order by setting.key
