-- Functions that the steps of both lines share. The runner creates them in schema pg_temp at the
-- start of each migrating session; they vanish with it.
--
-- Constraints and indexes are found by what they do (table, kind, columns in any order), never by
-- name: Django 1.7, 1.8, 1.11 and 2.2 named every one of them differently.
--
--   aiidadb_find_constraints(table, kind, columns)        names, kind 'u' unique or 'f' foreign key
--   aiidadb_find_indexes(table, columns, pattern, unique) names of those behind no constraint
--   aiidadb_find_foreign_keys(table, columns, referenced, on_delete)  names of the right ones
--   aiidadb_drop_...    none is left; returns how many there were
--   aiidadb_ensure_...  one is there, of whatever name; made under the given name where missing
--   aiidadb_settle_...  exactly one is there, and it has the given name
--       ... being one of
--         unique(table, columns[, name])
--         index(table, columns[, name][, pattern])
--             pattern: of varchar_pattern_ops, what Django calls "_like"
--         foreign_key(table, columns[, referenced, name, on_delete])
--             to column id, deferrable and initially deferred
--   aiidadb_leave_room(table), aiidadb_fill_up(table)   between them a rewrite leaves part of each
--       page free
--   aiidadb_refuse(table, rows, problem, remedy)   stops the migration with one message
--   aiidadb_unique_uuids(table)    makes uuid unique, or refuses the step
--   aiidadb_uuid_column(table)     makes uuid of type uuid and unique, or refuses the step
--   aiidadb_jsonb(text)            JSON as Python writes it, NaN included; null if it is not JSON


-- The table, or an error that names it: a step must never skip a table that it expects.
create or replace function pg_temp.aiidadb_table(table_name text) returns regclass
language plpgsql stable as $$
declare
    found_table regclass := to_regclass(quote_ident(table_name));
begin
    if found_table is null then
        raise exception using
            errcode = 'undefined_table',
            message = format('table %s is missing', table_name),
            hint = 'The database is not what its schema version says. Restore it from a backup.';
    end if;
    return found_table;
end
$$;


-- Names of columns by their numbers, sorted, so that two sets of columns can be compared with `=`.
create or replace function pg_temp.aiidadb_column_names(relation oid, numbers int2[]) returns text[]
language sql stable as $$
    select coalesce(array_agg(attribute.attname::text order by attribute.attname::text), '{}')
    from pg_catalog.pg_attribute as attribute
    where attribute.attrelid = relation
        and attribute.attnum = any(numbers)
$$;


create or replace function pg_temp.aiidadb_sorted(names text[]) returns text[]
language sql immutable as $$
    select array_agg(name order by name)
    from unnest(names) as name
$$;


create or replace function pg_temp.aiidadb_find_constraints(
    table_name text, kind text, columns text[]
) returns setof name
language sql stable as $$
    select candidate.conname
    from pg_catalog.pg_constraint as candidate
    where candidate.conrelid = pg_temp.aiidadb_table(table_name)
        and candidate.contype = kind::"char"
        and pg_temp.aiidadb_column_names(candidate.conrelid, candidate.conkey)
            = pg_temp.aiidadb_sorted(columns)
    order by candidate.oid
$$;


-- B-trees over whole columns. Those behind a constraint go and stay with it; partial indexes and
-- those over expressions belong only to the step that made them.
create or replace function pg_temp.aiidadb_find_indexes(
    table_name text, columns text[], pattern boolean default false, is_unique boolean default false
) returns setof name
language sql stable as $$
    select class.relname
    from pg_catalog.pg_index as candidate
    inner join pg_catalog.pg_class as class on class.oid = candidate.indexrelid
    inner join pg_catalog.pg_am as method on method.oid = class.relam
    inner join pg_catalog.pg_opclass as operators on operators.oid = candidate.indclass[0]
    where candidate.indrelid = pg_temp.aiidadb_table(table_name)
        and method.amname = 'btree'
        and candidate.indpred is null
        and candidate.indexprs is null
        and not candidate.indisprimary
        and candidate.indisunique = is_unique
        and (
            pattern is null
            or pattern = (operators.opcname in ('varchar_pattern_ops', 'text_pattern_ops'))
        )
        and pg_temp.aiidadb_column_names(candidate.indrelid, candidate.indkey::int2[])
            = pg_temp.aiidadb_sorted(columns)
        and not exists (
            select
            from pg_catalog.pg_constraint as owner
            where owner.conindid = candidate.indexrelid
        )
    order by candidate.indexrelid
$$;


-- A name that no table, index or constraint of the schema has yet: the one wanted where it is
-- free.
create or replace function pg_temp.aiidadb_free_name(wanted text) returns text
language plpgsql stable as $$
declare
    candidate text := wanted;
    attempt integer := 1;
begin
    while to_regclass(quote_ident(candidate)) is not null
        or exists (
            select
            from pg_catalog.pg_constraint as taken
            where taken.conname = candidate
                and taken.connamespace = quote_ident(current_schema())::regnamespace
        )
    loop
        attempt := attempt + 1;
        candidate := format('%s_%s', left(wanted, 60), attempt);
    end loop;
    return candidate;
end
$$;


-- The kind is 'constraint' or 'index'. Returns how many names there were.
create or replace function pg_temp.aiidadb_drop_all(table_name text, kind text, names text[])
returns integer
language plpgsql as $$
declare
    unwanted text;
begin
    foreach unwanted in array names loop
        if kind = 'constraint' then
            execute format('alter table %I drop constraint %I', table_name, unwanted);
        else
            execute format('drop index %I', unwanted);
        end if;
    end loop;
    return cardinality(names);
end
$$;


create or replace function pg_temp.aiidadb_drop_unique(table_name text, columns text[])
returns integer
language plpgsql as $$
begin
    return pg_temp.aiidadb_drop_all(
        table_name,
        'constraint',
        array(select pg_temp.aiidadb_find_constraints(table_name, 'u', columns))
    ) + pg_temp.aiidadb_drop_all(
        table_name,
        'index',
        array(select pg_temp.aiidadb_find_indexes(table_name, columns, null, true))
    );
end
$$;


-- pattern null: plain and pattern indexes alike.
create or replace function pg_temp.aiidadb_drop_index(
    table_name text, columns text[], pattern boolean default null
) returns integer
language plpgsql as $$
begin
    return pg_temp.aiidadb_drop_all(
        table_name,
        'index',
        array(select pg_temp.aiidadb_find_indexes(table_name, columns, pattern))
    );
end
$$;


create or replace function pg_temp.aiidadb_drop_foreign_key(table_name text, columns text[])
returns integer
language plpgsql as $$
begin
    return pg_temp.aiidadb_drop_all(
        table_name,
        'constraint',
        array(select pg_temp.aiidadb_find_constraints(table_name, 'f', columns))
    );
end
$$;


create or replace function pg_temp.aiidadb_quoted_list(names text[]) returns text
language sql immutable as $$
    select string_agg(quote_ident(name), ', ' order by position)
    from unnest(names) with ordinality as listed (name, position)
$$;


create or replace function pg_temp.aiidadb_ensure_unique(
    table_name text, columns text[], wanted text
) returns void
language plpgsql as $$
declare
    loose name;
begin
    if exists (select pg_temp.aiidadb_find_constraints(table_name, 'u', columns)) then
        return;
    end if;
    -- A unique index that no constraint owns becomes the constraint's: nothing is built twice.
    select pg_temp.aiidadb_find_indexes(table_name, columns, false, true) into loose limit 1;
    if loose is not null then
        execute format(
            'alter table %I add constraint %I unique using index %I',
            table_name,
            case when loose = wanted then wanted else pg_temp.aiidadb_free_name(wanted) end,
            loose
        );
    else
        execute format(
            'alter table %I add constraint %I unique (%s)',
            table_name,
            pg_temp.aiidadb_free_name(wanted),
            pg_temp.aiidadb_quoted_list(columns)
        );
    end if;
end
$$;


create or replace function pg_temp.aiidadb_ensure_index(
    table_name text, columns text[], wanted text, pattern boolean default false
) returns void
language plpgsql as $$
begin
    if exists (select pg_temp.aiidadb_find_indexes(table_name, columns, pattern)) then
        return;
    end if;
    execute format(
        'create index %I on %I (%s%s)',
        pg_temp.aiidadb_free_name(wanted),
        table_name,
        pg_temp.aiidadb_quoted_list(columns),
        case when pattern then ' varchar_pattern_ops' end
    );
end
$$;


-- Foreign keys as a step wants them: one that points elsewhere, acts differently on deletes or is
-- checked immediately is not among them.
create or replace function pg_temp.aiidadb_find_foreign_keys(
    table_name text, columns text[], referenced text, on_delete text
) returns setof name
language sql stable as $$
    select candidate.conname
    from pg_catalog.pg_constraint as candidate
    inner join pg_temp.aiidadb_find_constraints(table_name, 'f', columns) as of_columns (name)
        on of_columns.name = candidate.conname
    where candidate.conrelid = pg_temp.aiidadb_table(table_name)
        and candidate.confrelid = pg_temp.aiidadb_table(referenced)
        and candidate.condeferrable
        and candidate.condeferred
        and candidate.convalidated
        and candidate.confdeltype = case on_delete
            when 'no action' then 'a'
            when 'restrict' then 'r'
            when 'cascade' then 'c'
            when 'set null' then 'n'
        end::"char"
    order by candidate.oid
$$;


create or replace function pg_temp.aiidadb_ensure_foreign_key(
    table_name text,
    columns text[],
    referenced text,
    wanted text,
    on_delete text default 'no action'
) returns void
language plpgsql as $$
begin
    if exists (
        select pg_temp.aiidadb_find_foreign_keys(table_name, columns, referenced, on_delete)
    ) then
        return;
    end if;
    perform pg_temp.aiidadb_drop_foreign_key(table_name, columns);
    execute format(
        'alter table %I add constraint %I foreign key (%s) references %I (id)'
        ' on delete %s deferrable initially deferred',
        table_name,
        pg_temp.aiidadb_free_name(wanted),
        pg_temp.aiidadb_quoted_list(columns),
        referenced,
        on_delete
    );
end
$$;


-- Of those that fit one is kept, under the name wanted, and all others of those found are dropped.
-- The one that already has the name is kept, else the oldest, which is the first.
create or replace function pg_temp.aiidadb_keep_one(
    table_name text, kind text, fitting text[], found_names text[], wanted text
) returns void
language plpgsql as $$
declare
    kept text := case when wanted = any(fitting) then wanted else fitting[1] end;
begin
    perform pg_temp.aiidadb_drop_all(table_name, kind, array_remove(found_names, kept));
    if kept = wanted then
        return;
    end if;
    if kind = 'constraint' then
        execute format(
            'alter table %I rename constraint %I to %I', table_name, kept, wanted
        );
    else
        execute format('alter index %I rename to %I', kept, wanted);
    end if;
end
$$;


create or replace function pg_temp.aiidadb_settle_unique(
    table_name text, columns text[], wanted text
) returns void
language plpgsql as $$
declare
    found_names text[];
begin
    perform pg_temp.aiidadb_ensure_unique(table_name, columns, wanted);
    -- One of them may have the name that the constraint is to get.
    perform pg_temp.aiidadb_drop_all(
        table_name,
        'index',
        array(select pg_temp.aiidadb_find_indexes(table_name, columns, null, true))
    );
    found_names := array(select pg_temp.aiidadb_find_constraints(table_name, 'u', columns));
    perform pg_temp.aiidadb_keep_one(table_name, 'constraint', found_names, found_names, wanted);
end
$$;


create or replace function pg_temp.aiidadb_settle_index(
    table_name text, columns text[], wanted text, pattern boolean default false
) returns void
language plpgsql as $$
declare
    found_names text[];
begin
    perform pg_temp.aiidadb_ensure_index(table_name, columns, wanted, pattern);
    found_names := array(select pg_temp.aiidadb_find_indexes(table_name, columns, pattern));
    perform pg_temp.aiidadb_keep_one(table_name, 'index', found_names, found_names, wanted);
end
$$;


create or replace function pg_temp.aiidadb_settle_foreign_key(
    table_name text,
    columns text[],
    referenced text,
    wanted text,
    on_delete text default 'no action'
) returns void
language plpgsql as $$
begin
    perform pg_temp.aiidadb_ensure_foreign_key(table_name, columns, referenced, wanted, on_delete);
    perform pg_temp.aiidadb_keep_one(
        table_name,
        'constraint',
        array(
            select pg_temp.aiidadb_find_foreign_keys(table_name, columns, referenced, on_delete)
        ),
        array(select pg_temp.aiidadb_find_constraints(table_name, 'f', columns)),
        wanted
    );
end
$$;


-- An update puts the new row next to the old one where there is room in the page, and then makes no
-- entries in indexes, of which db_dbnode has many. A table that was just rewritten has no room at
-- all. What is left of it is taken by later updates, as the room of dead rows would be.
create or replace function pg_temp.aiidadb_leave_room(table_name text) returns void
language plpgsql as $$
begin
    perform set_config(
        'aiidadb.fillfactor',
        coalesce(
            (
                select substr(option, length('fillfactor=') + 1)
                from pg_catalog.pg_class as class
                inner join lateral unnest(class.reloptions) as option on true
                where class.oid = pg_temp.aiidadb_table(table_name)
                    and option like 'fillfactor=%'
            ),
            ''
        ),
        true
    );
    execute format('alter table %I set (fillfactor = 70)', table_name);
end
$$;


-- The user may have set it too.
create or replace function pg_temp.aiidadb_fill_up(table_name text) returns void
language plpgsql as $$
declare
    before constant text := current_setting('aiidadb.fillfactor');
begin
    if before = '' then
        execute format('alter table %I reset (fillfactor)', table_name);
    else
        execute format('alter table %I set (fillfactor = %s)', table_name, before);
    end if;
end
$$;


create or replace function pg_temp.aiidadb_refuse(
    table_name text, row_count bigint, problem text, remedy text
) returns void
language plpgsql as $$
begin
    if row_count > 0 then
        raise exception using
            errcode = 'integrity_constraint_violation',
            message = format(
                'table %s has %s %s %s',
                table_name, row_count, case row_count when 1 then 'row' else 'rows' end, problem
            ),
            hint = remedy,
            table = table_name;
    end if;
end
$$;


-- Duplicates are looked for only where the unique index found one: what is in order costs no scan.
create or replace function pg_temp.aiidadb_refuse_duplicate_uuids(table_name text) returns void
language plpgsql as $$
declare
    duplicates bigint;
begin
    execute format(
        $query$
            select count(*)
            from (
                select count(*) over (partition by lower(replace(uuid::text, '-', ''))) as bearers
                from %I
            ) as counted
            where bearers > 1
        $query$,
        table_name
    ) into duplicates;
    perform pg_temp.aiidadb_refuse(
        table_name,
        duplicates,
        'with a uuid that another row also has',
        'Find them with get_duplicate_uuids, give all but one of each a new uuid with '
        'apply_new_uuid_mapping (a node''s folder in the file repository is named after its '
        'uuid: copy it too), then migrate again.'
    );
end
$$;


create or replace function pg_temp.aiidadb_unique_uuids(table_name text) returns void
language plpgsql as $$
begin
    perform pg_temp.aiidadb_ensure_unique(table_name, array['uuid'], table_name || '_uuid_key');
exception
    when unique_violation then
        perform pg_temp.aiidadb_refuse_duplicate_uuids(table_name);
        raise;
end
$$;


create or replace function pg_temp.aiidadb_uuid_column(table_name text) returns void
language plpgsql as $$
declare
    malformed bigint;
begin
    -- varchar_pattern_ops cannot serve a uuid.
    perform pg_temp.aiidadb_drop_index(table_name, array['uuid']);
    execute format(
        'alter table %I alter column uuid type uuid using uuid::uuid', table_name
    );
    perform pg_temp.aiidadb_unique_uuids(table_name);
exception
    when invalid_text_representation then
        execute format(
            'select count(*) from %I where uuid !~* %L', table_name,
            '^\s*\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?\s*$'
        ) into malformed;
        perform pg_temp.aiidadb_refuse(
            table_name,
            malformed,
            'with an invalid uuid',
            'Give each of them a uuid (an UPDATE of column uuid will do), then migrate again.'
        );
        raise;
    when unique_violation then
        perform pg_temp.aiidadb_refuse_duplicate_uuids(table_name);
        raise;
end
$$;


-- Python's json module writes NaN, Infinity and -Infinity, which JSON does not have. They become
-- the strings that AiiDA itself puts in their place where it stores JSON.
create or replace function pg_temp.aiidadb_jsonb(written text) returns jsonb
language plpgsql immutable as $$
begin
    return written::jsonb;
exception
    when data_exception then
        begin
            -- Strings are matched first, and put back as they are: only tokens outside of them
            -- change.
            return (
                select string_agg(
                    case token[1]
                        when 'NaN' then '"nan"'
                        when 'Infinity' then '"inf"'
                        when '-Infinity' then '"-inf"'
                        else token[1]
                    end, '' order by position
                )
                from regexp_matches(
                    written, '("(?:[^"\\]|\\.)*"|-?Infinity|NaN|[^"NI-]+|.)', 'g'
                ) with ordinality as matched (token, position)
            )::jsonb;
        exception
            -- Not JSON at all, or JSON that jsonb cannot hold, such as \u0000.
            when data_exception then
                return null;
        end;
end
$$;
