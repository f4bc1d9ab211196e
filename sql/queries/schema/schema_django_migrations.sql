-- name: schema_django_migrations
-- purpose: The steps of AiiDA's own that Django has recorded; none where the table is the stub that
--     aiida-core 2.x makes when it builds an old schema, which has not these columns
-- parameters: none
-- schema: django_0045
-- result: source text, name text, value text; one row per step, such as 0045_dbgroup_extras, which
--     is the name
select
    'django_migrations' as source,
    to_jsonb(migration) ->> 'name' as name,
    null::text as value
from django_migrations as migration
where to_jsonb(migration) ->> 'app' = 'db'
