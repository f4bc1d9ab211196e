-- name: unindexed_references
-- purpose: Which columns refer to a table without an index that begins with them: each row deleted
--     there costs a scan of such a table
-- parameters: $1 referred text: a table, whatever refers to it; null: any, for AiiDA's own columns
-- schema: django_0001, django_0045, main_0002
-- result: reference text; one row per column, as table.column; none in a healthy database
select format('%s.%s', fk.conrelid::regclass, attribute.attname) as reference
from pg_constraint as fk
inner join pg_class as referencing on referencing.oid = fk.conrelid
inner join pg_attribute as attribute
    on attribute.attrelid = fk.conrelid
    and attribute.attnum = fk.conkey[1]
where fk.contype = 'f'
    and (fk.confrelid = to_regclass($1::text) or $1::text is null)
    and (
        $1::text is not null
        or (
            referencing.relname like 'db\_db%'
            and referencing.relnamespace = (
                select node.relnamespace
                from pg_class as node
                where node.oid = to_regclass('db_dbnode')
            )
        )
    )
    and not exists (
        select
        from pg_index as index
        where index.indrelid = fk.conrelid
            and index.indkey[0] = fk.conkey[1]
            and index.indpred is null
            and index.indisvalid
    )
order by 1
