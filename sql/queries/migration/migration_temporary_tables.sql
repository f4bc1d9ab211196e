-- name: migration_temporary_tables
-- purpose: The temporary tables of this session, which the end of a transaction would drop
-- parameters: none
-- result: name text; one row per table, with its schema, quoted as needed
select format('%s.%I', pg_my_temp_schema()::regnamespace, class.relname) as name
from pg_class as class
where class.relnamespace = pg_my_temp_schema()
    and class.relkind = 'r'
