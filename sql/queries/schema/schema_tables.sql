-- name: schema_tables
-- purpose: The schema that holds AiiDA's tables and what is in it. It is the one in which the
--     search_path finds db_dbnode, as for AiiDA itself; where it finds none, the one in which it
--     makes new tables. The questions on what AiiDA has recorded there give facts of the same form,
--     so that all can be asked in one statement, with `union all`, and answer from one snapshot
-- parameters: none
-- result: source text, name text, value text; one row per fact. The sources are search_path, home
--     (the schema), table (of that schema, views and partitions included, those of extensions left
--     out; for AiiDA's, where the search_path finds one of that name), unreadable (a table that the
--     role may not read), json_settings and json_attributes (the table, where settings and where
--     attributes of nodes are JSON), elsewhere (a table that AiiDA always has and that schema
--     lacks; where it is found) and hidden (a schema with a db_dbnode, where the search_path leads
--     to none)
with home as (
    select
        namespace.oid,
        namespace.nspname
    from pg_namespace as namespace
    where namespace.oid = coalesce(
            (
                select node.relnamespace
                from pg_class as node
                where node.oid = to_regclass('db_dbnode')
            ),
            quote_ident(current_schema())::regnamespace::oid
        )
),

-- Tables of all versions, but for the last two, of which there is one at least.
wanted as (
    select name
    from unnest(
            array[
                'db_dbauthinfo', 'db_dbcomment', 'db_dbcomputer', 'db_dbgroup',
                'db_dbgroup_dbnodes', 'db_dblink', 'db_dblog', 'db_dbnode', 'db_dbsetting',
                'db_dbuser', 'alembic_version', 'django_migrations'
            ]
        ) as name
),

present as (
    select
        class.oid,
        class.relname as name,
        -- Django's own tables do not matter: nothing but the migration, which leaves the
        -- search_path no choice, uses them.
        class.relname like 'db\_db%'
        or class.relname in (select wanted.name from wanted) as is_aiidas
    from pg_class as class
    where class.relnamespace = (select home.oid from home)
        and class.relkind in ('r', 'p', 'v', 'm', 'f')
        and not exists (
            select
            from pg_depend as dependency
            where dependency.objid = class.oid
                and dependency.deptype = 'e'
        )
)

select
    'search_path' as source,
    current_setting('search_path') as name,
    null::text as value

union all

select
    'home',
    home.nspname::text,
    null
from home

union all

select
    'table',
    present.name::text,
    namespace.nspname::text
from present
left join pg_class as found
    on present.is_aiidas
    and found.oid = to_regclass(quote_ident(present.name))
left join pg_namespace as namespace on namespace.oid = found.relnamespace

union all

select
    'unreadable',
    present.name::text,
    null
from present
where not has_table_privilege(present.oid, 'select')

union all

select
    'json_settings',
    present.name::text,
    null
from present
inner join pg_attribute as attribute on attribute.attrelid = present.oid
where present.name = 'db_dbsetting'
    and attribute.attname = 'val'
    and not attribute.attisdropped

union all

select
    'json_attributes',
    present.name::text,
    null
from present
inner join pg_attribute as attribute on attribute.attrelid = present.oid
where present.name = 'db_dbnode'
    and attribute.attname = 'attributes'
    and attribute.atttypid = 'jsonb'::regtype
    and not attribute.attisdropped

union all

select
    'elsewhere',
    wanted.name,
    namespace.nspname::text
from wanted
inner join pg_class as found on found.oid = to_regclass(wanted.name)
inner join pg_namespace as namespace on namespace.oid = found.relnamespace
where wanted.name not in (select present.name from present)

union all

select
    'hidden',
    namespace.nspname::text,
    null
from pg_class as node
inner join pg_namespace as namespace on namespace.oid = node.relnamespace
where node.relname = 'db_dbnode'
    and node.relkind in ('r', 'p')
    and to_regclass('db_dbnode') is null
