-- migration: django_0037
-- from: 1.0.36
-- to: 1.0.37
-- changes: db_dbnode gets the columns attributes and extras, made from the rows of db_dbattribute
--     and db_dbextra, which are dropped; db_dbsetting gets the column val, made from its columns
--     for values of single types, which are dropped too.
-- why: The old tables have one row for each item of a nested value. As one JSON document the value
--     is read, written and queried as a whole.
--     How it is done: AiiDA fetches, builds and updates one node after the other. Most nodes,
--     however, are alike. Here they are grouped by their shape: the keys of their rows, which of
--     these are lists and dicts, and how long the lists are. For each shape, Python nests the keys
--     once, by AiiDA's rules, and makes a template of JSON text; the server fills the template in
--     for all nodes of the shape.
--     What differs from AiiDA's step: mtime is kept. Values of datatype `json` are kept; AiiDA
--     writes null. Rows that have no place in a document stop the migration before its first
--     change. Rows whose node is gone are written to a file; AiiDA drops them. Values of unknown
--     datatypes, also those of settings, become null as in AiiDA, but are written to the file
--     first. A setting that is a list or a dict gets its value, and the rows of its items are
--     removed; AiiDA writes null, and leaves the items as settings of their own.
-- tables: db_dbattribute, db_dbextra, db_dbnode, db_dbsetting
-- drops: db_dbattribute, db_dbextra, db_dbsetting.bval, db_dbsetting.datatype, db_dbsetting.dval,
--     db_dbsetting.fval, db_dbsetting.ival, db_dbsetting.tval
-- rows: select (select count(*) from db_dbnode) + (select count(*) from db_dbsetting)

-- Until the end, no row may be added, changed or moved: the documents are made of what is read
-- now, and the nodes get them in the order in which they lie in the table.
lock table db_dbnode, db_dbattribute, db_dbextra, db_dbsetting in access exclusive mode;

-- Compiling the statements to machine code would take longer than it saves.
set local jit = off;
set local work_mem = '16MB';

-- With this, the temporary tables of a small database stay in memory. It cannot be changed in a
-- session that has used a temporary table before; then it is left as it is.
do $$
begin
    set local temp_buffers = '32MB';
exception
    when invalid_parameter_value then null;
end
$$;


-- A float as JSON text, written as Python's repr() and json.dumps() write it, because that is what
-- AiiDA stores. PostgreSQL differs in three ways:
-- - It leaves out the `.0` of whole numbers.
-- - NaN and infinities are not JSON; AiiDA turns them into strings.
-- - Python writes the fewest digits that are read back as the same float. So does PostgreSQL,
--   except where these digits lie just on the border between two floats, as for 1e23: there it
--   writes more. This can happen only between 1e16 and 1e40, so fewer digits are tried only there.
create or replace function pg_temp.aiidadb_float(number double precision) returns text
language sql stable parallel safe as $$
    select case
        when number = trunc(number) and abs(number) < 1e16 then number::bigint::text || '.0'
        when abs(number) < 1e16 then number::text
        when number = 'NaN' then '"nan"'
        when number = 'Infinity' then '"inf"'
        when number = '-Infinity' then '"-inf"'
        when abs(number) > 1e40 then number::text
        -- 15 digits if they are read back as the same float, else 16, else all.
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


-- What one row adds to the shape of its node: its key, and in front of it a sign that says what
-- the row is. `=` is a value, `{` a dict, `[` a list, followed by its length, and `?` something
-- that only Python can decide, such as a time outside of the years 1 to 9999 of Python's datetime.
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


-- What one row puts into the template of its shape: its value as JSON text. It is null for lists
-- and dicts, whose items are rows of their own, and `?`, the datatype and the text for what only
-- Python can decide.
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


-- Templates of JSON text, to be filled in by format(): one table has them by shape, the other, for
-- shapes that only one node has, by node. The first is not temporary, because parallel workers
-- cannot read temporary tables.
create table aiidadb_template (
    tokens text[] not null,
    template text not null
);
create temporary table aiidadb_own_template (
    bearer bigint not null,  -- twice the node's id, and one more for its extras
    template text not null
);

-- The documents: two rows per node, one of its attributes and one of its extras. The table itself
-- stays empty; the rows are in tables that inherit from it, one for each set of nodes.
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


-- Gathers the rows of the nodes between the first and the last of some bounds into a new table,
-- aiidadb_document_set, and returns the number of its rows: two per node. Where the template of a
-- shape is known, it is filled in at once. Otherwise the document is null, and the row has its
-- shape and values as arrays, for Python to make the template.
--
-- The statement is a `union all` of slices, each from one bound to the next in one of the two
-- tables, so that a few parallel workers can share them, if the server has some to spare. The
-- settings of the function let the planner choose that. For less data it would not be worth it.
--
-- Within a node, rows must come in the order of their keys, so that nodes with the same keys have
-- the same shape, in whatever order the rows were stored. The unique index on node and key has them
-- in that order, and one worker reads it for one slice, so that nothing needs to be sorted.
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


-- Fills in the documents for which Python has made the templates since the set was gathered. If
-- there are too many templates, all are forgotten: in some databases no two nodes are alike, and
-- hardly any template is used again.
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


-- Adds the set, which is complete now, to the documents.
create or replace function pg_temp.aiidadb_settle(set_number integer) returns void
language plpgsql as $$
declare
    settled text := 'aiidadb_document_set_' || set_number;
begin
    execute format('alter table aiidadb_document_set rename to %I', settled);
    execute format('alter table %I inherit aiidadb_document', settled);
end
$$;

-- The rows that will be lost, to be written to a file: those whose node is gone, and those whose
-- value cannot be read.
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


-- The new columns are filled by `alter column ... type ... using ...`, which rewrites the table.
-- This is half the work of an update, and leaves no dead rows behind. And it stays the same table,
-- which others refer to.
-- The expression behind `using` can read another table only through a function. A function that
-- searched for the document of each node would cost as much as all the rest. So there are two
-- cursors over the documents, in the order in which the nodes lie in the table, and the function
-- takes the next document of a cursor for each node.
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
    -- The table is locked and read from its beginning, so this does not happen. If it did, nodes
    -- would get each other's documents.
    raise exception 'db_dbnode is not read in the order of its rows: node %, document of %',
        wanted, node;
end
$$;

-- Otherwise a scan may start in the middle of a table, to read along with another scan.
set local synchronize_seqscans = off;

-- Attributes change and files are moved in the next steps.
select pg_temp.aiidadb_leave_room('db_dbnode');

alter table db_dbnode
    alter column attributes type jsonb
        using pg_temp.aiidadb_next_document('aiidadb_attributes', id),
    alter column extras type jsonb
        using pg_temp.aiidadb_next_document('aiidadb_extras', id);

select pg_temp.aiidadb_fill_up('db_dbnode');

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

-- The items of lists and dicts: they are in the value of their setting now.
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

-- The index of the unique constraint serves as well as a second one on the same column.
select pg_temp.aiidadb_drop_index('db_dbsetting', array['key'], false);
select pg_temp.aiidadb_ensure_unique(
    'db_dbsetting', array['key'], 'db_dbsetting_key_1b84beb4_uniq'
);
select pg_temp.aiidadb_ensure_index(
    'db_dbsetting', array['key'], 'db_dbsetting_key_1b84beb4_like', true
);
