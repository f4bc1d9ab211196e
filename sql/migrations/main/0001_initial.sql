-- migration: main_0001
-- from: none
-- to: main_0001
-- changes: The tables of the main line, in an empty database.
-- why: The start of the line, for replaying it: here AiiDA 2.0 joined the two lines of 1.x, and a
--     database that comes over from 1.0.50 is at main_0001 without this step.
-- tables: db_dbuser, db_dbcomputer, db_dbauthinfo, db_dbnode, db_dblink, db_dbcomment, db_dblog,
--     db_dbgroup, db_dbgroup_dbnodes, db_dbsetting

-- Names: uq_ unique constraint, fk_ foreign key, ix_ index, ix_pat_ index for `like 'abc%'`.
-- All foreign keys are checked at the commit.

-- Users and computers ----------------------------------------------------------------------------

create table db_dbuser (
    id serial constraint db_dbuser_pkey primary key,
    email varchar(254) not null constraint uq_db_dbuser_email unique,
    first_name varchar(254) not null,
    last_name varchar(254) not null,
    institution varchar(254) not null
);
create index ix_pat_db_dbuser_email on db_dbuser (email varchar_pattern_ops);

create table db_dbcomputer (
    id serial constraint db_dbcomputer_pkey primary key,
    uuid uuid not null constraint uq_db_dbcomputer_uuid unique,
    label varchar(255) not null constraint uq_db_dbcomputer_label unique,
    hostname varchar(255) not null,
    description text not null,
    transport_type varchar(255) not null,
    scheduler_type varchar(255) not null,
    metadata jsonb not null
);
create index ix_pat_db_dbcomputer_label on db_dbcomputer (label varchar_pattern_ops);

-- How one user reaches one computer; deleted with either.
create table db_dbauthinfo (
    id serial constraint db_dbauthinfo_pkey primary key,
    aiidauser_id integer not null
        constraint fk_db_dbauthinfo_aiidauser_id_db_dbuser
        references db_dbuser (id) on delete cascade deferrable initially deferred,
    dbcomputer_id integer not null
        constraint fk_db_dbauthinfo_dbcomputer_id_db_dbcomputer
        references db_dbcomputer (id) on delete cascade deferrable initially deferred,
    metadata jsonb not null,
    auth_params jsonb not null,
    enabled boolean not null,
    constraint uq_db_dbauthinfo_aiidauser_id_dbcomputer_id unique (aiidauser_id, dbcomputer_id)
);
create index ix_db_dbauthinfo_aiidauser_id on db_dbauthinfo (aiidauser_id);
create index ix_db_dbauthinfo_dbcomputer_id on db_dbauthinfo (dbcomputer_id);

-- The provenance graph ---------------------------------------------------------------------------

-- A user or a computer stays as long as a node names it.
create table db_dbnode (
    id serial constraint db_dbnode_pkey primary key,
    uuid uuid not null constraint uq_db_dbnode_uuid unique,
    node_type varchar(255) not null,
    label varchar(255) not null,
    description text not null,
    ctime timestamptz not null,
    mtime timestamptz not null,
    -- null for what was not made on a computer, which is most data
    dbcomputer_id integer
        constraint fk_db_dbnode_dbcomputer_id_db_dbcomputer
        references db_dbcomputer (id) on delete restrict deferrable initially deferred,
    user_id integer not null
        constraint fk_db_dbnode_user_id_db_dbuser
        references db_dbuser (id) on delete restrict deferrable initially deferred,
    -- null for data
    process_type varchar(255),
    attributes jsonb,
    extras jsonb,
    -- the node's tree of files; what is in them lies in the file repository
    repository_metadata jsonb not null
);
create index ix_db_dbnode_ctime on db_dbnode (ctime);
create index ix_db_dbnode_dbcomputer_id on db_dbnode (dbcomputer_id);
create index ix_db_dbnode_label on db_dbnode (label);
create index ix_pat_db_dbnode_label on db_dbnode (label varchar_pattern_ops);
create index ix_db_dbnode_mtime on db_dbnode (mtime);
create index ix_db_dbnode_node_type on db_dbnode (node_type);
create index ix_pat_db_dbnode_node_type on db_dbnode (node_type varchar_pattern_ops);
create index ix_db_dbnode_process_type on db_dbnode (process_type);
create index ix_pat_db_dbnode_process_type on db_dbnode (process_type varchar_pattern_ops);
create index ix_db_dbnode_user_id on db_dbnode (user_id);

-- A link is deleted with its output, and keeps its input from being deleted.
create table db_dblink (
    id serial constraint db_dblink_pkey primary key,
    input_id integer not null
        constraint fk_db_dblink_input_id_db_dbnode
        references db_dbnode (id) deferrable initially deferred,
    output_id integer not null
        constraint fk_db_dblink_output_id_db_dbnode
        references db_dbnode (id) on delete cascade deferrable initially deferred,
    label varchar(255) not null,
    type varchar(255) not null
);
create index ix_db_dblink_input_id on db_dblink (input_id);
create index ix_db_dblink_output_id on db_dblink (output_id);
create index ix_db_dblink_label on db_dblink (label);
create index ix_pat_db_dblink_label on db_dblink (label varchar_pattern_ops);
create index ix_db_dblink_type on db_dblink (type);
create index ix_pat_db_dblink_type on db_dblink (type varchar_pattern_ops);

-- What is said about nodes -----------------------------------------------------------------------

create table db_dbcomment (
    id serial constraint db_dbcomment_pkey primary key,
    uuid uuid not null constraint uq_db_dbcomment_uuid unique,
    dbnode_id integer not null
        constraint fk_db_dbcomment_dbnode_id_db_dbnode
        references db_dbnode (id) on delete cascade deferrable initially deferred,
    ctime timestamptz not null,
    mtime timestamptz not null,
    user_id integer not null
        constraint fk_db_dbcomment_user_id_db_dbuser
        references db_dbuser (id) on delete cascade deferrable initially deferred,
    content text not null
);
create index ix_db_dbcomment_dbnode_id on db_dbcomment (dbnode_id);
create index ix_db_dbcomment_user_id on db_dbcomment (user_id);

create table db_dblog (
    id serial constraint db_dblog_pkey primary key,
    time timestamptz not null,
    loggername varchar(255) not null,
    levelname varchar(50) not null,
    message text not null,
    metadata jsonb not null,
    dbnode_id integer not null
        constraint fk_db_dblog_dbnode_id_db_dbnode
        references db_dbnode (id) on delete cascade deferrable initially deferred,
    uuid uuid not null constraint uq_db_dblog_uuid unique
);
create index ix_db_dblog_dbnode_id on db_dblog (dbnode_id);
create index ix_db_dblog_levelname on db_dblog (levelname);
create index ix_pat_db_dblog_levelname on db_dblog (levelname varchar_pattern_ops);
create index ix_db_dblog_loggername on db_dblog (loggername);
create index ix_pat_db_dblog_loggername on db_dblog (loggername varchar_pattern_ops);

create table db_dbgroup (
    id serial constraint db_dbgroup_pkey primary key,
    uuid uuid not null constraint uq_db_dbgroup_uuid unique,
    label varchar(255) not null,
    type_string varchar(255) not null,
    time timestamptz not null,
    description text not null,
    -- the one name without `fk_`: aiida-core gave it so
    user_id integer not null
        constraint db_dbgroup_user_id_db_dbuser
        references db_dbuser (id) on delete cascade deferrable initially deferred,
    extras jsonb not null,
    constraint uq_db_dbgroup_label_type_string unique (label, type_string)
);
create index ix_db_dbgroup_label on db_dbgroup (label);
create index ix_pat_db_dbgroup_label on db_dbgroup (label varchar_pattern_ops);
create index ix_db_dbgroup_type_string on db_dbgroup (type_string);
create index ix_pat_db_dbgroup_type_string on db_dbgroup (type_string varchar_pattern_ops);
create index ix_db_dbgroup_user_id on db_dbgroup (user_id);

-- A node or a group cannot be deleted while the one is in the other.
create table db_dbgroup_dbnodes (
    id serial constraint db_dbgroup_dbnodes_pkey primary key,
    dbnode_id integer not null
        constraint fk_db_dbgroup_dbnodes_dbnode_id_db_dbnode
        references db_dbnode (id) deferrable initially deferred,
    dbgroup_id integer not null
        constraint fk_db_dbgroup_dbnodes_dbgroup_id_db_dbgroup
        references db_dbgroup (id) deferrable initially deferred,
    constraint uq_db_dbgroup_dbnodes_dbgroup_id_dbnode_id unique (dbgroup_id, dbnode_id)
);
create index ix_db_dbgroup_dbnodes_dbnode_id on db_dbgroup_dbnodes (dbnode_id);
create index ix_db_dbgroup_dbnodes_dbgroup_id on db_dbgroup_dbnodes (dbgroup_id);

-- Settings ---------------------------------------------------------------------------------------

create table db_dbsetting (
    id serial constraint db_dbsetting_pkey primary key,
    key varchar(1024) not null constraint uq_db_dbsetting_key unique,
    description text not null,
    time timestamptz not null,
    val jsonb
);
create index ix_pat_db_dbsetting_key on db_dbsetting (key varchar_pattern_ops);
