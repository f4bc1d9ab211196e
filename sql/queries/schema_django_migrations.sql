-- name: schema_django_migrations
-- purpose: The steps of AiiDA's own that Django has noted, oldest first
-- parameters: none
-- result: name text, such as 0045_dbgroup_extras; one row a step
select migration.name::text as name
from public.django_migrations as migration
where migration.app = 'db'
order by migration.name
