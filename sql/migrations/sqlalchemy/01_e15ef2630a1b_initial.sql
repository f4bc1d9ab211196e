-- migration: sqlalchemy_01_e15ef2630a1b
-- from: none
-- to: e15ef2630a1b
-- changes: Makes AiiDA's tables as its SQLAlchemy backend of 0.7 to 0.9 made them, and the trigger
--     that keeps the closure of all links in db_dbpath.
-- why: AiiDA 0.10 put the existing tables under the control of Alembic with this revision. The
--     function of the trigger is AiiDA's word for word: this distinguishes it from one of a user's
--     when the next step drops it.
-- tables: all

create table db_dbuser (
    id serial primary key,
    email varchar(254),
    password varchar(128),
    is_superuser boolean not null,
    first_name varchar(254),
    last_name varchar(254),
    institution varchar(254),
    is_staff boolean,
    is_active boolean,
    last_login timestamptz,
    date_joined timestamptz
);

create table db_dbcomputer (
    id serial primary key,
    uuid uuid,
    name varchar(255) not null,
    hostname varchar(255),
    description text,
    enabled boolean,
    transport_type varchar(255),
    scheduler_type varchar(255),
    transport_params jsonb,
    metadata jsonb,
    unique (name)
);

create table db_dbauthinfo (
    id serial primary key,
    aiidauser_id integer references db_dbuser (id)
        on delete cascade deferrable initially deferred,
    dbcomputer_id integer references db_dbcomputer (id)
        on delete cascade deferrable initially deferred,
    metadata jsonb,
    auth_params jsonb,
    enabled boolean,
    unique (aiidauser_id, dbcomputer_id)
);

create table db_dbnode (
    id serial primary key,
    uuid uuid,
    type varchar(255),
    label varchar(255),
    description text,
    ctime timestamptz,
    mtime timestamptz,
    nodeversion integer,
    public boolean,
    attributes jsonb,
    extras jsonb,
    dbcomputer_id integer references db_dbcomputer (id)
        on delete restrict deferrable initially deferred,
    user_id integer not null references db_dbuser (id)
        on delete restrict deferrable initially deferred
);

create table db_dbgroup (
    id serial primary key,
    uuid uuid,
    name varchar(255),
    type varchar(255),
    time timestamptz,
    description text,
    user_id integer references db_dbuser (id)
        on delete cascade deferrable initially deferred,
    unique (name, type)
);

create table db_dbgroup_dbnodes (
    id serial primary key,
    dbnode_id integer references db_dbnode (id) deferrable initially deferred,
    dbgroup_id integer references db_dbgroup (id) deferrable initially deferred
);

create table db_dblink (
    id serial primary key,
    input_id integer references db_dbnode (id) deferrable initially deferred,
    output_id integer references db_dbnode (id)
        on delete cascade deferrable initially deferred,
    label varchar(255) not null,
    type varchar(255)
);

create table db_dbpath (
    id serial primary key,
    parent_id integer references db_dbnode (id) deferrable initially deferred,
    child_id integer references db_dbnode (id) deferrable initially deferred,
    depth integer,
    entry_edge_id integer,
    direct_edge_id integer,
    exit_edge_id integer
);

create table db_dbcalcstate (
    id serial primary key,
    dbnode_id integer references db_dbnode (id)
        on delete cascade deferrable initially deferred,
    state varchar(255),
    time timestamptz,
    unique (dbnode_id, state)
);

create table db_dbcomment (
    id serial primary key,
    uuid uuid,
    dbnode_id integer references db_dbnode (id)
        on delete cascade deferrable initially deferred,
    ctime timestamptz,
    mtime timestamptz,
    user_id integer references db_dbuser (id)
        on delete cascade deferrable initially deferred,
    content text
);

create table db_dblog (
    id serial primary key,
    time timestamptz,
    loggername varchar(255),
    levelname varchar(255),
    objname varchar(255),
    objpk integer,
    message text,
    metadata jsonb
);

create table db_dbsetting (
    id serial primary key,
    key varchar(255) not null,
    val jsonb,
    description varchar(255) not null,
    time timestamptz,
    unique (key)
);

create table db_dblock (
    key varchar(255) primary key,
    creation timestamptz,
    timeout integer,
    owner varchar(255)
);

create table db_dbworkflow (
    id serial primary key,
    uuid uuid,
    ctime timestamptz,
    mtime timestamptz,
    user_id integer references db_dbuser (id),
    label varchar(255),
    description text,
    nodeversion integer,
    lastsyncedversion integer,
    state varchar(255),
    report text,
    module text,
    module_class text,
    script_path text,
    script_md5 varchar(255)
);

create table db_dbworkflowdata (
    id serial primary key,
    parent_id integer references db_dbworkflow (id),
    name varchar(255),
    time timestamptz,
    data_type varchar(255),
    value_type varchar(255),
    json_value text,
    aiida_obj_id integer references db_dbnode (id),
    unique (parent_id, name, data_type)
);

create table db_dbworkflowstep (
    id serial primary key,
    parent_id integer references db_dbworkflow (id),
    user_id integer references db_dbuser (id),
    name varchar(255),
    time timestamptz,
    nextcall varchar(255),
    state varchar(255),
    unique (parent_id, name)
);

create table db_dbworkflowstep_calculations (
    id serial primary key,
    dbworkflowstep_id integer references db_dbworkflowstep (id),
    dbnode_id integer references db_dbnode (id),
    constraint db_dbworkflowstep_calculations_id_dbnode_id_key
        unique (dbworkflowstep_id, dbnode_id)
);

create table db_dbworkflowstep_sub_workflows (
    id serial primary key,
    dbworkflowstep_id integer references db_dbworkflowstep (id),
    dbworkflow_id integer references db_dbworkflow (id),
    constraint db_dbworkflowstep_sub_workflows_id_dbworkflow__key
        unique (dbworkflowstep_id, dbworkflow_id)
);

create index ix_db_dbcalcstate_state on db_dbcalcstate (state);
create index ix_db_dbgroup_name on db_dbgroup (name);
create index ix_db_dbgroup_type on db_dbgroup (type);
create index ix_db_dblink_label on db_dblink (label);
create index ix_db_dblog_levelname on db_dblog (levelname);
create index ix_db_dblog_loggername on db_dblog (loggername);
create index ix_db_dblog_objname on db_dblog (objname);
create index ix_db_dblog_objpk on db_dblog (objpk);
create index ix_db_dbnode_label on db_dbnode (label);
create index ix_db_dbnode_type on db_dbnode (type);
create index ix_db_dbsetting_key on db_dbsetting (key);
create unique index ix_db_dbuser_email on db_dbuser (email);
create index ix_db_dbworkflow_label on db_dbworkflow (label);

-- Words and white space are AiiDA's, by which the next step recognises the function.
create function update_tc() returns trigger
language plpgsql as $$
declare
    new_id integer;
    old_id integer;
    num_rows integer;
begin
    if tg_op = 'INSERT' then
        if exists (
            select id from db_dbpath
            where parent_id = new.input_id
                and child_id = new.output_id
                and depth = 0
        )
        then
            return null;
        end if;
        if new.input_id = new.output_id
            or exists (
                select id from db_dbpath
                where parent_id = new.output_id
                    and child_id = new.input_id
            )
        then
            return null;
        end if;
        insert into db_dbpath (
            parent_id,
            child_id,
            depth)
        values (
            new.input_id,
            new.output_id,
            0);
        new_id := lastval();
        update db_dbpath
        set entry_edge_id = new_id
            , exit_edge_id = new_id
            , direct_edge_id = new_id
        where id = new_id;
        insert into db_dbpath (
            entry_edge_id,
            direct_edge_id,
            exit_edge_id,
            parent_id,
            child_id,
            depth)
        select id
            , new_id
            , new_id
            , parent_id
            , new.output_id
            , depth + 1
        from db_dbpath
        where child_id = new.input_id;
        insert into db_dbpath (
            entry_edge_id,
            direct_edge_id,
            exit_edge_id,
            parent_id,
            child_id,
            depth)
        select new_id
            , new_id
            , id
            , new.input_id
            , child_id
            , depth + 1
        from db_dbpath
        where parent_id = new.output_id;
        insert into db_dbpath (
            entry_edge_id,
            direct_edge_id,
            exit_edge_id,
            parent_id,
            child_id,
            depth)
        select a.id
            , new_id
            , b.id
            , a.parent_id
            , b.child_id
            , a.depth + b.depth + 2
        from db_dbpath a
        cross join db_dbpath b
        where a.child_id = new.input_id
            and b.parent_id = new.output_id;
    end if;
    if tg_op = 'DELETE' then
        if not exists(
            select id from db_dbpath
            where parent_id = old.input_id
                and child_id = old.output_id and
                depth = 0 )
        then
            return null;
        end if;
        create table purgelist (id int);
        insert into purgelist
        select id from db_dbpath
        where parent_id = old.input_id
            and child_id = old.output_id and
            depth = 0;
        while (1 = 1)
        loop
            insert into purgelist
            select id from db_dbpath
            where depth > 0
                and ( entry_edge_id in ( select id from purgelist )
                or direct_edge_id in ( select id from purgelist )
                or exit_edge_id in ( select id from purgelist ) )
                and id not in (select id from purgelist );
            get diagnostics num_rows = row_count;
            if (num_rows = 0) then
                exit;
            end if;
        end loop;
        delete from db_dbpath where id in ( select id from purgelist);
        drop table purgelist;
    end if;
    return null;
end
$$;

create trigger autoupdate_tc
after insert or delete or update on db_dblink
for each row execute function update_tc();
