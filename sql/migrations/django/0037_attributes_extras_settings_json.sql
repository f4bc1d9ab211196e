-- migration: django_0037
-- from: 1.0.36
-- to: 1.0.37
-- changes: db_dbnode gets the columns attributes and extras, made from the rows of db_dbattribute
--     and db_dbextra, which are dropped; db_dbsetting gets the column val, made from its columns
--     for values of single types, which are dropped too.
-- why: A nested value that is one JSON document is read, written and queried as a whole, where it
--     was a row for each of its items. AiiDA fetches, builds and updates node by node. Here nodes
--     are grouped by their shape (the keys of their rows, which of them are lists and dicts, and
--     how long the lists are): each shape is nested once, in Python, by AiiDA's rules, and turned
--     into a template of JSON text, which the server fills in for all nodes of that shape. mtime
--     is kept. Values of datatype `json` are kept, where AiiDA writes null. Rows that have no place
--     in a document are refused; those whose node is gone, which AiiDA drops, and values, also of
--     settings, of unknown datatypes, which become null as in AiiDA, are written to a file. A
--     setting that is a list or a dict gets its value, and the rows of its items are removed, where
--     AiiDA writes null and leaves the items as settings of their own.
-- tables: db_dbattribute, db_dbextra, db_dbnode, db_dbsetting
-- drops: db_dbattribute, db_dbextra, db_dbsetting.bval, db_dbsetting.datatype, db_dbsetting.dval,
--     db_dbsetting.fval, db_dbsetting.ival, db_dbsetting.tval
-- rows: select (select count(*) from db_dbnode) + (select count(*) from db_dbsetting)

-- What is read now must be all there is at the end, in the place where it is now.
lock table db_dbnode, db_dbattribute, db_dbextra, db_dbsetting in access exclusive mode;

-- Compiling takes longer than it saves.
set local jit = off;
set local work_mem = '16MB';

-- Temporary tables of a small database then need not be written to files. A session that has used
-- some already cannot have more room for them.
do $$
begin
    set local temp_buffers = '32MB';
exception
    when invalid_parameter_value then null;
end
$$;


-- A float as Python's repr() writes it, and json.dumps() with it, except NaN and infinities, which
-- AiiDA turns into strings. PostgreSQL leaves out the `.0`. Where the shortest digits lie just on
-- the border between two floats, as for 1e23, it writes more of them; no float beyond 1e40 has so
-- few digits on its border, nor one below 1e16.
create or replace function pg_temp.aiidadb_float(number double precision) returns text
language sql stable parallel safe as $$
    select case
        when number = trunc(number) and abs(number) < 1e16 then number::bigint::text || '.0'
        when abs(number) < 1e16 then number::text
        when number = 'NaN' then '"nan"'
        when number = 'Infinity' then '"inf"'
        when number = '-Infinity' then '"-inf"'
        when abs(number) > 1e40 then number::text
        -- 15 digits if they will do, else 16, else all.
        when to_char(number, '9.99999999999999EEEE')::double precision = number
            then to_char(number, '9.99999999999999EEEE')::numeric::text
        when to_char(number, '9.999999999999999EEEE')::double precision = number
            then to_char(number, '9.999999999999999EEEE')::numeric::text
        else number::text
    end
$$;


-- A time as Python's isoformat() writes it, in UTC.
create or replace function pg_temp.aiidadb_time(moment timestamp with time zone) returns text
language sql stable parallel safe as $$
    select to_char(
        moment at time zone 'UTC',
        case
            when moment = date_trunc('second', moment) then '"\""YYYY-MM-DD"T"HH24:MI:SS"+00:00\""'
            else '"\""YYYY-MM-DD"T"HH24:MI:SS.US"+00:00\""'
        end
    )
$$;


-- What a row is, in front of its key: `=` a value, `{` a dict, `[` a list, with its length, and `?`
-- what only Python can decide. Python's datetime has the years 1 to 9999.
create or replace function pg_temp.aiidadb_row_token(
    datatype text, key text, ival integer, fval double precision, dval timestamp with time zone
) returns text
language sql stable parallel safe as $$
    select case datatype
        when 'float' then case when fval is null then '?' else '=' end
        when 'txt' then '='
        when 'int' then '='
        when 'list' then '[' || coalesce(ival::text, '') || ' '
        when 'dict' then '{'
        when 'bool' then '='
        when 'none' then '='
        when 'date' then case
            when dval < '0001-01-01 00:00:00+00' or dval >= '10000-01-01 00:00:00+00' then '?'
            else '='
        end
        else '?'
    end || key
$$;


-- A value as JSON text; null for lists and dicts; `?`, datatype and text for what only Python
-- can decide.
create or replace function pg_temp.aiidadb_row_value(
    datatype text,
    tval text,
    ival integer,
    fval double precision,
    bval boolean,
    dval timestamp with time zone
) returns text
language sql stable parallel safe as $$
    select case datatype
        when 'float' then coalesce(pg_temp.aiidadb_float(fval), '?float ')
        when 'txt' then to_json(tval)::text
        when 'int' then coalesce(ival::text, 'null')
        when 'list' then null
        when 'dict' then null
        when 'bool' then coalesce(bval::text, 'null')
        when 'none' then 'null'
        when 'date' then case
            when dval < '0001-01-01 00:00:00+00' or dval >= '10000-01-01 00:00:00+00'
                then '?date ' || dval::text
            else coalesce(pg_temp.aiidadb_time(dval), 'null')
        end
        else '?' || datatype || ' ' || tval
    end
$$;


-- Templates of JSON text to be filled in by format(): by shape, and for shapes that are one node's
-- alone, by node. The former is not temporary: the processes that help with a statement do not see
-- such tables.
create table aiidadb_template (
    tokens text[] not null,
    template text not null
);
create temporary table aiidadb_own_template (
    bearer bigint not null,  -- twice the node's id, and one more for its extras
    template text not null
);

-- One row for each node's attributes and one for its extras; the rows are in tables that inherit
-- from it, one per set of nodes.
create temporary table aiidadb_document (
    place tid,
    node integer,
    extra boolean,
    tokens text[],
    row_values text[],
    document jsonb
);


-- The settings that are lists or dicts.
create temporary table aiidadb_setting_document (
    key text primary key,
    document jsonb not null
);


-- Makes the table aiidadb_document_set for the nodes between the first and the last of some bounds,
-- a branch for each two bounds and each of the two tables. Where there is no template for a shape,
-- the document is null and the rows are kept in arrays. Gives the number of documents: two per
-- node. A few processes share the branches, where the server has some to spare; for less than this
-- it is not worth it.
-- The rows of a node come in the order of their keys: nodes that have the same keys are then of the
-- same shape, in whatever order they were stored. The unique index has them in that order, and is
-- read by one process per slice, so there is nothing to sort.
create or replace function pg_temp.aiidadb_gather(bounds bigint[]) returns bigint
language plpgsql
set enable_sort = off
set enable_incremental_sort = off
set enable_gathermerge = off
set parallel_setup_cost = 0
set parallel_tuple_cost = 0
set min_parallel_table_scan_size = 0
as $$
declare
    branches text;
    documents bigint;
begin
    select string_agg(
        format(
            $branch$
            select
                node.place,
                node.id as node,
                %4$L::boolean as extra,
                entry.tokens,
                entry.row_values
            from (
                select id, ctid as place from db_dbnode where id >= %1$s and id < %2$s
            ) as node
            left join (
                select
                    dbnode_id as node,
                    array_agg(
                        pg_temp.aiidadb_row_token(datatype, key, ival, fval, dval)
                    ) as tokens,
                    array_agg(
                        pg_temp.aiidadb_row_value(datatype, tval, ival, fval, bval, dval)
                    ) as row_values
                from (
                    select dbnode_id, key, datatype, tval, ival, fval, bval, dval
                    from %3$I
                    where dbnode_id >= %1$s and dbnode_id < %2$s
                    order by dbnode_id, key
                ) as row_of_node
                group by dbnode_id
            ) as entry on entry.node = node.id
            $branch$,
            bounds[slice], bounds[slice + 1], source.table_name, source.extra
        ),
        ' union all '
    ) into branches
    from generate_series(1, cardinality(bounds) - 1) as slice
    cross join (
        values ('db_dbattribute', false), ('db_dbextra', true)
    ) as source (table_name, extra);
    execute format(
        $set$
        create temporary table aiidadb_document_set as
        select
            gathered.place,
            gathered.node,
            gathered.extra,
            case when known.template is null then gathered.tokens end as tokens,
            case when known.template is null then gathered.row_values end as row_values,
            case
                when gathered.tokens is null then '{}'
                else format(known.template, variadic gathered.row_values)::jsonb
            end as document
        from (%s) as gathered
        left join aiidadb_template as known on known.tokens = gathered.tokens
        $set$,
        branches
    );
    get diagnostics documents = row_count;
    return documents;
end
$$;


-- Fills in what there was no template for when the set was gathered. Templates are forgotten where
-- they grow too many: there are databases in which no two nodes are alike.
create or replace function pg_temp.aiidadb_fill_late() returns void
language plpgsql as $$
begin
    insert into aiidadb_document_set (place, node, extra, document)
    select
        late.place,
        late.node,
        late.extra,
        format(learned.template, variadic late.row_values)::jsonb
    from aiidadb_document_set as late
    inner join aiidadb_template as learned on learned.tokens = late.tokens
    where late.document is null;

    if exists (select from aiidadb_own_template) then
        insert into aiidadb_document_set (place, node, extra, document)
        select
            single.place,
            single.node,
            single.extra,
            format(own.template, variadic single.row_values)::jsonb
        from aiidadb_document_set as single
        inner join aiidadb_own_template as own
            on own.bearer = single.node::bigint * 2 + single.extra::integer
        where single.document is null;

        truncate aiidadb_own_template;
    end if;

    if (select count(*) from aiidadb_template) > 10000 then
        truncate aiidadb_template;
    end if;
end
$$;


-- Makes the set one of the documents' tables.
create or replace function pg_temp.aiidadb_settle(set_number integer) returns void
language plpgsql as $$
declare
    settled text := 'aiidadb_document_set_' || set_number;
begin
    execute format('alter table aiidadb_document_set rename to %I', settled);
    execute format('alter table %I inherit aiidadb_document', settled);
end
$$;

-- Rows that are lost: those whose node is gone, and those of values that cannot be read.
create temporary table aiidadb_lost_row (
    subject text not null,  -- the table that the row is in
    row_id integer not null,
    reason text not null
) on commit drop;

insert into aiidadb_lost_row (subject, row_id, reason)
select
    entry.subject,
    entry.id,
    case when node.id is null then 'no_node' else 'unreadable' end
from (
    select
        'db_dbattribute' as subject,
        id,
        dbnode_id,
        datatype,
        tval
    from db_dbattribute
    union all
    select
        'db_dbextra' as subject,
        id,
        dbnode_id,
        datatype,
        tval
    from db_dbextra
) as entry
left join db_dbnode as node on node.id = entry.dbnode_id
where node.id is null
    or case
        when entry.datatype in ('txt', 'int', 'float', 'list', 'dict', 'bool', 'none', 'date')
            then false
        when entry.datatype = 'json' then pg_temp.aiidadb_jsonb(entry.tval) is null
        else true
    end
union all
select
    'db_dbsetting' as subject,
    setting.id,
    'unreadable' as reason
from db_dbsetting as setting
where
    case
        when setting.datatype = 'json' then pg_temp.aiidadb_jsonb(setting.tval) is null
        when setting.datatype in ('list', 'dict') then false
        else
            pg_temp.aiidadb_row_token(
                setting.datatype, '', setting.ival, setting.fval, setting.dval
            ) = '?'
    end;

-- call: export_strays

delete from db_dbattribute as entry
using aiidadb_lost_row as lost
where lost.reason = 'no_node'
    and lost.subject = 'db_dbattribute'
    and entry.id = lost.row_id;

delete from db_dbextra as entry
using aiidadb_lost_row as lost
where lost.reason = 'no_node'
    and lost.subject = 'db_dbextra'
    and entry.id = lost.row_id;

-- call: build_json_from_eav

alter table db_dbnode
    add column attributes jsonb,
    add column extras jsonb;


-- The new columns are written by rewriting the table: half the work of an update, nothing dead left
-- behind, and the table stays the one that others refer to. The expression of a new value may not
-- look into another table but by a function, and a function that looked up each document would cost
-- as much as all the rest; so cursors hand them out in the order in which the table is read.
do $$
declare
    all_attributes refcursor := 'aiidadb_attributes';
    all_extras refcursor := 'aiidadb_extras';
begin
    open all_attributes no scroll for
        select made.node, made.document
        from aiidadb_document as made
        where not made.extra and made.document is not null
        order by made.place;
    open all_extras no scroll for
        select made.node, made.document
        from aiidadb_document as made
        where made.extra and made.document is not null
        order by made.place;
end
$$;

create or replace function pg_temp.aiidadb_next_document(documents refcursor, wanted integer)
returns jsonb
language plpgsql as $$
declare
    node integer;
    document jsonb;
begin
    fetch next from documents into node, document;
    if node = wanted then
        return document;
    end if;
    -- This never happens, and must not be ignored if it does.
    raise exception 'db_dbnode is not read in the order of its rows: node %, document of %',
        wanted, node;
end
$$;

-- Else a scan may start in the middle of the table, where another one is.
set local synchronize_seqscans = off;

alter table db_dbnode
    alter column attributes type jsonb
        using pg_temp.aiidadb_next_document('aiidadb_attributes', id),
    alter column extras type jsonb
        using pg_temp.aiidadb_next_document('aiidadb_extras', id);

do $$
declare
    all_attributes refcursor := 'aiidadb_attributes';
    all_extras refcursor := 'aiidadb_extras';
begin
    close all_attributes;
    close all_extras;
end
$$;

drop table aiidadb_document cascade;
drop table aiidadb_template, aiidadb_own_template;
drop table db_dbattribute;
drop table db_dbextra;


alter table db_dbsetting add column val jsonb;

update db_dbsetting as setting
set
    val = case
        when
            pg_temp.aiidadb_row_token(datatype, '', ival, fval, dval) = '='
            then pg_temp.aiidadb_row_value(datatype, tval, ival, fval, bval, dval)::jsonb
        when datatype = 'json' then pg_temp.aiidadb_jsonb(tval)
        else (
            select nested.document
            from aiidadb_setting_document as nested
            where nested.key = setting.key
        )
    end
where datatype <> 'none';

-- They are in the value that they belong to.
delete from db_dbsetting as item
using aiidadb_setting_document as nested
where starts_with(item.key, nested.key || '.');

drop table aiidadb_setting_document;

alter table db_dbsetting
    drop column tval,
    drop column fval,
    drop column ival,
    drop column bval,
    drop column dval,
    drop column datatype;

-- The unique constraint has an index that serves as well.
select pg_temp.aiidadb_drop_index('db_dbsetting', array['key'], false);
select pg_temp.aiidadb_ensure_unique(
    'db_dbsetting', array['key'], 'db_dbsetting_key_1b84beb4_uniq'
);
select pg_temp.aiidadb_ensure_index(
    'db_dbsetting', array['key'], 'db_dbsetting_key_1b84beb4_like', true
);
