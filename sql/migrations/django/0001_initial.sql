-- migration: django_0001
-- from: none
-- to: 1.0.1
-- changes: Makes a whole database of AiiDA's first Django version: AiiDA's tables, and those of
--     Django's auth and contenttypes as Django 1.7 made them.
-- why: It is where the chain begins. Databases of that age also hold tables of other Django
--     applications (sessions, sites, celery), which AiiDA never used, and a trigger on db_dblink
--     that AiiDA's installer put there to fill db_dbpath; a new database has neither.
-- tables: all

-- Django's own tables. AiiDA's users take part in auth's groups and permissions until 0035.
create table django_migrations (
    id serial primary key,
    app varchar(255) not null,
    name varchar(255) not null,
    applied timestamp with time zone not null
);

create table django_content_type (
    id serial primary key,
    name varchar(100) not null,
    app_label varchar(100) not null,
    model varchar(100) not null,
    unique (app_label, model)
);

create table auth_permission (
    id serial primary key,
    name varchar(50) not null,
    content_type_id integer not null
        references django_content_type (id) deferrable initially deferred,
    codename varchar(100) not null,
    unique (content_type_id, codename)
);
create index on auth_permission (content_type_id);

create table auth_group (
    id serial primary key,
    name varchar(80) not null unique
);
create index on auth_group (name varchar_pattern_ops);

create table auth_group_permissions (
    id serial primary key,
    group_id integer not null references auth_group (id) deferrable initially deferred,
    permission_id integer not null references auth_permission (id) deferrable initially deferred,
    unique (group_id, permission_id)
);
create index on auth_group_permissions (group_id);
create index on auth_group_permissions (permission_id);

-- Users and computers.
create table db_dbuser (
    id serial primary key,
    password varchar(128) not null,
    last_login timestamp with time zone not null,
    is_superuser boolean not null,
    email varchar(75) not null unique,
    first_name varchar(254) not null,
    last_name varchar(254) not null,
    institution varchar(254) not null,
    is_staff boolean not null,
    is_active boolean not null,
    date_joined timestamp with time zone not null
);
create index on db_dbuser (email varchar_pattern_ops);

create table db_dbuser_groups (
    id serial primary key,
    dbuser_id integer not null references db_dbuser (id) deferrable initially deferred,
    group_id integer not null references auth_group (id) deferrable initially deferred,
    unique (dbuser_id, group_id)
);
create index on db_dbuser_groups (dbuser_id);
create index on db_dbuser_groups (group_id);

create table db_dbuser_user_permissions (
    id serial primary key,
    dbuser_id integer not null references db_dbuser (id) deferrable initially deferred,
    permission_id integer not null references auth_permission (id) deferrable initially deferred,
    unique (dbuser_id, permission_id)
);
create index on db_dbuser_user_permissions (dbuser_id);
create index on db_dbuser_user_permissions (permission_id);

create table db_dbcomputer (
    id serial primary key,
    uuid varchar(36) not null,
    name varchar(255) not null unique,
    hostname varchar(255) not null,
    description text not null,
    enabled boolean not null,
    transport_type varchar(255) not null,
    scheduler_type varchar(255) not null,
    transport_params text not null,
    metadata text not null
);
create index on db_dbcomputer (name varchar_pattern_ops);

create table db_dbauthinfo (
    id serial primary key,
    aiidauser_id integer not null references db_dbuser (id) deferrable initially deferred,
    dbcomputer_id integer not null references db_dbcomputer (id) deferrable initially deferred,
    metadata text not null,
    auth_params text not null,
    enabled boolean not null,
    unique (aiidauser_id, dbcomputer_id)
);
create index on db_dbauthinfo (aiidauser_id);
create index on db_dbauthinfo (dbcomputer_id);

-- The graph.
create table db_dbnode (
    id serial primary key,
    uuid varchar(36) not null,
    type varchar(255) not null,
    label varchar(255) not null,
    description text not null,
    ctime timestamp with time zone not null,
    mtime timestamp with time zone not null,
    nodeversion integer not null,
    public boolean not null,
    dbcomputer_id integer references db_dbcomputer (id) deferrable initially deferred,
    user_id integer not null references db_dbuser (id) deferrable initially deferred
);
create index on db_dbnode (type);
create index on db_dbnode (type varchar_pattern_ops);
create index on db_dbnode (label);
create index on db_dbnode (label varchar_pattern_ops);
create index on db_dbnode (dbcomputer_id);
create index on db_dbnode (user_id);

create table db_dblink (
    id serial primary key,
    input_id integer not null references db_dbnode (id) deferrable initially deferred,
    output_id integer not null references db_dbnode (id) deferrable initially deferred,
    label varchar(255) not null,
    unique (input_id, output_id),
    unique (output_id, label)
);
create index on db_dblink (label);
create index on db_dblink (label varchar_pattern_ops);
create index on db_dblink (input_id);
create index on db_dblink (output_id);

-- The transitive closure of the links.
create table db_dbpath (
    id serial primary key,
    parent_id integer not null references db_dbnode (id) deferrable initially deferred,
    child_id integer not null references db_dbnode (id) deferrable initially deferred,
    depth integer not null,
    entry_edge_id integer,
    direct_edge_id integer,
    exit_edge_id integer
);
create index on db_dbpath (parent_id);
create index on db_dbpath (child_id);

-- Values by entity, attribute and datatype; a `.` in the key parts the levels of nested ones.
create table db_dbattribute (
    id serial primary key,
    key varchar(1024) not null,
    datatype varchar(10) not null,
    tval text not null,
    fval double precision,
    ival integer,
    bval boolean,
    dval timestamp with time zone,
    dbnode_id integer not null references db_dbnode (id) deferrable initially deferred,
    unique (dbnode_id, key)
);
create index on db_dbattribute (key);
create index on db_dbattribute (key varchar_pattern_ops);
create index on db_dbattribute (datatype);
create index on db_dbattribute (datatype varchar_pattern_ops);
create index on db_dbattribute (dbnode_id);

create table db_dbextra (
    id serial primary key,
    key varchar(1024) not null,
    datatype varchar(10) not null,
    tval text not null,
    fval double precision,
    ival integer,
    bval boolean,
    dval timestamp with time zone,
    dbnode_id integer not null references db_dbnode (id) deferrable initially deferred,
    unique (dbnode_id, key)
);
create index on db_dbextra (key);
create index on db_dbextra (key varchar_pattern_ops);
create index on db_dbextra (datatype);
create index on db_dbextra (datatype varchar_pattern_ops);
create index on db_dbextra (dbnode_id);

create table db_dbsetting (
    id serial primary key,
    key varchar(1024) not null unique,
    datatype varchar(10) not null,
    tval text not null,
    fval double precision,
    ival integer,
    bval boolean,
    dval timestamp with time zone,
    description text not null,
    time timestamp with time zone not null
);
create index on db_dbsetting (key);
create index on db_dbsetting (key varchar_pattern_ops);
create index on db_dbsetting (datatype);
create index on db_dbsetting (datatype varchar_pattern_ops);

create table db_dbcalcstate (
    id serial primary key,
    dbnode_id integer not null references db_dbnode (id) deferrable initially deferred,
    state varchar(25) not null,
    time timestamp with time zone not null,
    unique (dbnode_id, state)
);
create index on db_dbcalcstate (dbnode_id);
create index on db_dbcalcstate (state);
create index on db_dbcalcstate (state varchar_pattern_ops);

-- What people say about nodes, and what AiiDA says.
create table db_dbgroup (
    id serial primary key,
    uuid varchar(36) not null,
    name varchar(255) not null,
    type varchar(255) not null,
    time timestamp with time zone not null,
    description text not null,
    user_id integer not null references db_dbuser (id) deferrable initially deferred,
    unique (name, type)
);
create index on db_dbgroup (name);
create index on db_dbgroup (name varchar_pattern_ops);
create index on db_dbgroup (type);
create index on db_dbgroup (type varchar_pattern_ops);
create index on db_dbgroup (user_id);

create table db_dbgroup_dbnodes (
    id serial primary key,
    dbgroup_id integer not null references db_dbgroup (id) deferrable initially deferred,
    dbnode_id integer not null references db_dbnode (id) deferrable initially deferred,
    unique (dbgroup_id, dbnode_id)
);
create index on db_dbgroup_dbnodes (dbgroup_id);
create index on db_dbgroup_dbnodes (dbnode_id);

create table db_dbcomment (
    id serial primary key,
    uuid varchar(36) not null,
    dbnode_id integer not null references db_dbnode (id) deferrable initially deferred,
    ctime timestamp with time zone not null,
    mtime timestamp with time zone not null,
    user_id integer not null references db_dbuser (id) deferrable initially deferred,
    content text not null
);
create index on db_dbcomment (dbnode_id);
create index on db_dbcomment (user_id);

create table db_dblog (
    id serial primary key,
    time timestamp with time zone not null,
    loggername varchar(255) not null,
    levelname varchar(50) not null,
    objname varchar(255) not null,
    objpk integer,
    message text not null,
    metadata text not null
);
create index on db_dblog (loggername);
create index on db_dblog (loggername varchar_pattern_ops);
create index on db_dblog (levelname);
create index on db_dblog (levelname varchar_pattern_ops);
create index on db_dblog (objname);
create index on db_dblog (objname varchar_pattern_ops);
create index on db_dblog (objpk);

-- What the daemon of that age held on to.
create table db_dblock (
    key varchar(255) primary key,
    creation timestamp with time zone not null,
    timeout integer not null,
    owner varchar(255) not null
);
create index on db_dblock (key varchar_pattern_ops);

-- Workflows before they became nodes.
create table db_dbworkflow (
    id serial primary key,
    uuid varchar(36) not null,
    ctime timestamp with time zone not null,
    mtime timestamp with time zone not null,
    user_id integer not null references db_dbuser (id) deferrable initially deferred,
    label varchar(255) not null,
    description text not null,
    nodeversion integer not null,
    lastsyncedversion integer not null,
    state varchar(255) not null,
    report text not null,
    module text not null,
    module_class text not null,
    script_path text not null,
    script_md5 varchar(255) not null
);
create index on db_dbworkflow (label);
create index on db_dbworkflow (label varchar_pattern_ops);
create index on db_dbworkflow (user_id);

create table db_dbworkflowdata (
    id serial primary key,
    parent_id integer not null references db_dbworkflow (id) deferrable initially deferred,
    name varchar(255) not null,
    time timestamp with time zone not null,
    data_type varchar(255) not null,
    value_type varchar(255) not null,
    json_value text not null,
    aiida_obj_id integer references db_dbnode (id) deferrable initially deferred,
    unique (parent_id, name, data_type)
);
create index on db_dbworkflowdata (parent_id);
create index on db_dbworkflowdata (aiida_obj_id);

create table db_dbworkflowstep (
    id serial primary key,
    parent_id integer not null references db_dbworkflow (id) deferrable initially deferred,
    user_id integer not null references db_dbuser (id) deferrable initially deferred,
    name varchar(255) not null,
    time timestamp with time zone not null,
    nextcall varchar(255) not null,
    state varchar(255) not null,
    unique (parent_id, name)
);
create index on db_dbworkflowstep (parent_id);
create index on db_dbworkflowstep (user_id);

create table db_dbworkflowstep_calculations (
    id serial primary key,
    dbworkflowstep_id integer not null
        references db_dbworkflowstep (id) deferrable initially deferred,
    dbnode_id integer not null references db_dbnode (id) deferrable initially deferred,
    unique (dbworkflowstep_id, dbnode_id)
);
create index on db_dbworkflowstep_calculations (dbworkflowstep_id);
create index on db_dbworkflowstep_calculations (dbnode_id);

create table db_dbworkflowstep_sub_workflows (
    id serial primary key,
    dbworkflowstep_id integer not null
        references db_dbworkflowstep (id) deferrable initially deferred,
    dbworkflow_id integer not null references db_dbworkflow (id) deferrable initially deferred,
    unique (dbworkflowstep_id, dbworkflow_id)
);
create index on db_dbworkflowstep_sub_workflows (dbworkflowstep_id);
create index on db_dbworkflowstep_sub_workflows (dbworkflow_id);

-- Django keeps a row for every model, and three permissions for each.
insert into django_content_type (name, app_label, model)
select
    verbose_name,
    app_label,
    replace(verbose_name, ' ', '')
from
    unnest(
        array['auth', 'auth', 'contenttypes'] || array_fill('db'::text, array[17]),
        array[
            'permission', 'group', 'content type', 'db user', 'db node', 'db link', 'db path',
            'db setting', 'db attribute', 'db extra', 'db calc state', 'db group', 'db computer',
            'db auth info', 'db comment', 'db log', 'db lock', 'db workflow', 'db workflow data',
            'db workflow step'
        ]
    ) with ordinality as models (app_label, verbose_name, position)
order by position;

insert into auth_permission (name, content_type_id, codename)
select
    format('Can %s %s', actions.action, model.name),
    model.id,
    format('%s_%s', actions.action, model.model)
from django_content_type as model
cross join unnest(array['add', 'change', 'delete']) with ordinality as actions (action, position)
order by model.id, actions.position;

-- AiiDA's own row is written by the runner.
insert into django_migrations (app, name, applied)
values
    ('contenttypes', '0001_initial', now()),
    ('auth', '0001_initial', now());
