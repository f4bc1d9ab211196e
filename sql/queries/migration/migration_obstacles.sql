-- name: migration_obstacles
-- purpose: What others made that stands in a migration's way: what depends on columns and tables
--     that will be remade or dropped, and what acts, or hides rows, when rows are changed
-- parameters: $1 tables text[]: the tables that will be altered or whose rows will be changed
--     $2 remade_tables text[]: the tables of the columns that will be remade, and those that will
--     be dropped
--     $3 remade_columns text[]: those columns, in the same order; '' for a table as a whole
--     $4 retyped bool[]: whether the column gets another type, in the same order
-- result: obstacle text, subject text, kind text; one row per obstacle, such as "view mine", to a
--     subject, such as "db_dbnode.type" or "db_dbnode", by name. The kind is dependent, trigger,
--     rule or security
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

-- Indexes and constraints of the table itself are remade with the column, or go with the table, but
-- for those that may not suit the new type. AiiDA has none of these on such a column.
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
                        and holder.relname not like 'django\_%'
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

select
    format('trigger %I', acting.tgname),
    touched.subject,
    'trigger'
from touched
inner join pg_trigger as acting on acting.tgrelid = touched.relation
where not acting.tgisinternal
    and acting.tgenabled in ('O', 'A')

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
