-- name: migration_obstacles
-- purpose: What others made that would stop a migration: what depends on columns and tables
--     that will be remade or dropped, and what acts, or hides rows, when rows are changed
-- parameters: $1 tables text[]: the tables that will be altered or whose rows will be changed
--     $2 remade_tables text[]: the tables of the columns that will be remade, and those that will
--     be dropped
--     $3 remade_columns text[]: those columns, in the same order; '' for a table as a whole
--     $4 retyped bool[]: whether the column gets another type, in the same order
--     $5 released text[]: columns, such as "django_admin_log.content_type_id", whose foreign keys
--     to tables that will be dropped go with them
--     $6 own_triggers text[]: AiiDA's own triggers, as pg_get_triggerdef writes them, in lower case
--     $7 own_functions text[]: the function that each of them calls, such as "update_tc()"
--     $8 own_sources text[]: the MD5 of each one's source, in lower case and with single blanks
--     $9 own_dropped bool[]: whether the trigger and its function will be dropped
-- result: obstacle text, subject text, kind text; one row per obstacle, such as "view mine", to a
--     subject, such as "db_dbnode.type" or "db_dbnode", by name. The kind is dependent, namesake
--     (it has the name of something of AiiDA's that will be dropped), trigger, rule or security
with remade as (
    select
        class.oid as relation,
        class.reltype as row_type,
        attribute.attnum as column_number,
        wanted.retyped,
        concat_ws('.', wanted.table_name, nullif(wanted.column_name, '')) as subject
    from unnest($2::text[], $3::text[], $4::bool[])
            as wanted (table_name, column_name, retyped)
    inner join pg_class as class
        on class.oid = to_regclass(format('%I.%I', current_schema(), wanted.table_name))
    left join pg_attribute as attribute
        on attribute.attrelid = class.oid
        and attribute.attname = wanted.column_name
        and not attribute.attisdropped
    where wanted.column_name = ''
        or attribute.attnum is not null
),

-- Indexes and constraints of the table itself are remade with the column, or dropped with the
-- table, except those that may not suit the new type. AiiDA has none of these on such a column.
misfit as (
    select index.indexrelid as oid
    from pg_index as index
    inner join pg_class as class on class.oid = index.indexrelid
    inner join pg_am as method on method.oid = class.relam
    where index.indnatts > 1
        or index.indpred is not null
        or index.indexprs is not null
        or method.amname <> 'btree'
),

dependent as (
    select
        -- What a user knows of a view is not the rule that it consists of.
        case
            when rewrite.rulename = '_RETURN'
                then pg_describe_object('pg_class'::regclass, rewrite.ev_class, 0)
            else pg_describe_object(found.classid, found.objid, found.objsubid)
        end as obstacle,
        remade.subject
    from remade
    inner join pg_depend as found
        on found.refclassid = 'pg_class'::regclass
        and found.refobjid = remade.relation
        and (remade.column_number is null or found.refobjsubid = remade.column_number)
    left join pg_rewrite as rewrite
        on found.classid = 'pg_rewrite'::regclass and rewrite.oid = found.objid
    left join pg_attrdef as expression
        on found.classid = 'pg_attrdef'::regclass and expression.oid = found.objid
    left join pg_constraint as held
        on found.classid = 'pg_constraint'::regclass and held.oid = found.objid
    left join pg_class as holder on holder.oid = held.conrelid
    where found.deptype in ('n', 'a')
        and case found.classid
            when 'pg_rewrite'::regclass then rewrite.ev_class <> remade.relation
            when 'pg_proc'::regclass then true
            -- A column that is computed from this one.
            when 'pg_attrdef'::regclass
                then expression.adrelid <> remade.relation
                or expression.adnum <> remade.column_number
            when 'pg_policy'::regclass then remade.column_number is not null
            when 'pg_trigger'::regclass then remade.column_number is not null
            when 'pg_publication_rel'::regclass then remade.column_number is not null
            when 'pg_constraint'::regclass
                then case
                    when held.conrelid = remade.relation
                        then remade.retyped and held.contype in ('c', 'x')
                    -- Tables that Django made and AiiDA never used may lose theirs.
                    else held.contype = 'f'
                        and not exists (
                            select
                            from pg_attribute as referring
                            where referring.attrelid = held.conrelid
                                and array[referring.attnum] = held.conkey
                                and holder.relname || '.' || referring.attname = any($5::text[])
                        )
                        and held.conrelid not in (
                            select gone.relation
                            from remade as gone
                            where gone.column_number is null
                        )
                end
            when 'pg_class'::regclass
                then remade.retyped and found.objid in (select misfit.oid from misfit)
            else false
        end

    union

    -- Columns, and functions, whose type is the table's row.
    select
        pg_describe_object(found.classid, found.objid, found.objsubid) as obstacle,
        remade.subject
    from remade
    inner join pg_type as row_type on row_type.oid = remade.row_type
    inner join pg_depend as found
        on found.refclassid = 'pg_type'::regclass
        and found.refobjid in (row_type.oid, row_type.typarray)
    left join pg_class as holder
        on found.classid = 'pg_class'::regclass and holder.oid = found.objid
    where found.deptype = 'n'
        and (
            (holder.relkind in ('r', 'p', 'm') and found.objsubid > 0)
            or (found.classid = 'pg_proc'::regclass and remade.column_number is null)
        )
),

own as (
    select
        given.definition,
        split_part(given.definition, ' ', 3) as trigger_name,
        substring(given.definition from ' on (\w+) ') as table_name,
        given.function_name,
        given.source,
        given.dropped
    from unnest($6::text[], $7::text[], $8::text[], $9::bool[])
            as given (definition, function_name, source, dropped)
),

-- AiiDA's own is recognised by what it does, not by its name: when it fires, for what, and what is
-- then carried out, whichever release wrote it with whatever indentation.
own_function as (
    select
        own.trigger_name,
        own.definition,
        own.function_name,
        own.table_name,
        own.dropped,
        routine.oid,
        own.source = md5(
            lower(regexp_replace(trim(e' \t\r\n' from routine.prosrc), '\s+', ' ', 'g'))
        ) as is_aiidas
    from own
    inner join pg_proc as routine
        on routine.oid = to_regprocedure(
            quote_ident(current_schema()) || '.' || own.function_name
        )
),

own_trigger as (
    select acting.oid
    from pg_trigger as acting
    inner join own_function as called on called.oid = acting.tgfoid
    where called.is_aiidas
        and lower(pg_get_triggerdef(acting.oid, true)) = called.definition
),

touched as (
    select
        class.oid as relation,
        class.relname::text as subject,
        class.relrowsecurity
        and class.relforcerowsecurity
        and not (
            select role.rolsuper or role.rolbypassrls
            from pg_roles as role
            where role.rolname = current_user
        ) as hides_rows
    from pg_class as class
    where class.relnamespace = quote_ident(current_schema())::regnamespace
        and class.relname = any($1::text[])
        and class.relkind in ('r', 'p')
)

select
    obstacle,
    subject,
    'dependent' as kind
from dependent

union all

-- A function of AiiDA's cannot be dropped while something of another's calls it.
select
    pg_describe_object(found.classid, found.objid, found.objsubid),
    called.function_name,
    'dependent'
from own_function as called
inner join pg_depend as found
    on found.refclassid = 'pg_proc'::regclass
    and found.refobjid = called.oid
where called.dropped
    and called.is_aiidas
    and found.deptype = 'n'
    and not (
        found.classid = 'pg_trigger'::regclass
        and found.objid in (select own_trigger.oid from own_trigger)
    )

union all

select
    format('function %s', called.function_name),
    called.table_name,
    'namesake'
from own_function as called
where called.dropped
    and not called.is_aiidas

union all

select
    format('trigger %I', acting.tgname),
    touched.subject,
    case when namesake.dropped then 'namesake' else 'trigger' end as kind
from touched
inner join pg_trigger as acting on acting.tgrelid = touched.relation
left join own as namesake
    on namesake.dropped
    and namesake.trigger_name = acting.tgname
    and namesake.table_name = touched.subject
where not acting.tgisinternal
    and acting.oid not in (select own_trigger.oid from own_trigger)
    and (
        namesake.dropped
        or (
            acting.tgenabled in ('O', 'A')
            -- What calls a function that is dropped is named above.
            and acting.tgfoid not in (
                select called.oid
                from own_function as called
                where called.dropped and called.is_aiidas
            )
        )
    )

union all

select
    format('rule %I', acting.rulename),
    touched.subject,
    'rule'
from touched
inner join pg_rewrite as acting on acting.ev_class = touched.relation
where acting.ev_enabled in ('O', 'A')

union all

select
    'row-level security',
    touched.subject,
    'security'
from touched
where touched.hides_rows

order by kind, subject, obstacle
