-- name: migration_statistics
-- purpose: Which columns the planner has no statistics on: to remake a column, or a type, removes
--     its statistics, and no autovacuum follows where no row was updated. Documents are left out:
--     their statistics take the longest to gather, and no query of AiiDA's needs them
-- parameters: $1 tables text[]: where to look
-- result: statement text; one row per table, by name: what to run, analyze ...
select
    format(
        'analyze %s (%s)',
        class.oid::regclass,
        string_agg(quote_ident(attribute.attname), ', ' order by attribute.attnum)
    ) as statement
from pg_class as class
inner join pg_attribute as attribute
    on attribute.attrelid = class.oid
    and attribute.attnum > 0
    and not attribute.attisdropped
where class.relnamespace = quote_ident(current_schema())::regnamespace
    and class.relname = any($1::text[])
    and class.relkind = 'r'
    -- An empty table has none and needs none. (relpages is 0 in one that was never vacuumed, too.)
    and pg_relation_size(class.oid) > 0
    and attribute.atttypid <> 'jsonb'::regtype
    and not exists (
        select
        from pg_stats as known
        where known.schemaname = current_schema()
            and known.tablename = class.relname
            and known.attname = attribute.attname
    )
group by class.oid, class.relname
order by class.relname
