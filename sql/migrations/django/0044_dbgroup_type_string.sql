-- migration: django_0044
-- from: 1.0.43
-- to: 1.0.44
-- also: bf591f31dd12
-- changes: The four types of groups that AiiDA itself makes get the names of their entry points.
-- why: Groups became plugins: their type is the entry point of their class, and all of AiiDA's own
--     begin with `core`. Types of others' groups stay.
-- tables: db_dbgroup
-- rows: select count(*) from db_dbgroup
--     where type_string in ('user', 'data.upf', 'auto.import', 'auto.run')

with renamed (old, new) as (
    values
        ('user', 'core'),
        ('data.upf', 'core.upf'),
        ('auto.import', 'core.import'),
        ('auto.run', 'core.auto')
)

update db_dbgroup as grouping
set type_string = renamed.new
from renamed
where grouping.type_string = renamed.old;
