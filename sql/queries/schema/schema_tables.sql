-- name: schema_tables
-- purpose: Which tables the database has, to find AiiDA's bookkeeping before asking it; settings
--     lie in `tval` before 1.0.37 and in `val` from then on
-- parameters: none
-- result: name text, has_val bool, readable bool; one row per table of the schema public, views and
--     partitions included, those of extensions left out; whether it has a column `val`, and whether
--     the role may read it
select
    class.relname::text as name,
    exists(
        select
        from pg_attribute as attribute
        where attribute.attrelid = class.oid
            and attribute.attname = 'val'
            and not attribute.attisdropped
    ) as has_val,
    has_table_privilege(class.oid, 'select') as readable
from pg_class as class
where class.relnamespace = 'public'::regnamespace
    and class.relkind in ('r', 'p', 'v', 'm', 'f')
    and not exists (
        select
        from pg_depend as dependency
        where dependency.objid = class.oid
            and dependency.deptype = 'e'
    )
order by class.relname
