-- name: migration_foreign_tables
-- purpose: Which tables the role could not alter, because they belong to another
-- parameters: $1 tables text[]: the tables that will be altered
-- result: name text, owner text; one row per table that is there and belongs to another role
select
    class.relname::text as name,
    pg_get_userbyid(class.relowner)::text as owner
from pg_class as class
where class.relnamespace = quote_ident(current_schema())::regnamespace
    and class.relkind in ('r', 'p')
    and class.relname = any($1::text[])
    and not pg_has_role(class.relowner, 'usage')
order by class.relname
