-- migration: sqlalchemy_50_1de112340b17
-- from: 1de112340b16
-- to: 1de112340b17
-- changes: Columns that AiiDA 2.x requires to be filled must be: all but the attributes, extras,
--     process type and computer of nodes, and the value of settings. Levels of logs have at most
--     50 characters, keys of settings 1,024, their descriptions any number.
-- why: The definitions of the two lines become the same. Where a value is missing that the step
--     before could not guess, this is refused.
-- tables: db_dbauthinfo, db_dbcomment, db_dbcomputer, db_dbgroup, db_dbgroup_dbnodes, db_dblink,
--     db_dblog, db_dbnode, db_dbsetting, db_dbuser
-- retypes: db_dbsetting.description
-- remakes: db_dblog.levelname, db_dbsetting.key

alter table db_dbauthinfo
    alter column aiidauser_id set not null,
    alter column dbcomputer_id set not null,
    alter column metadata set not null,
    alter column auth_params set not null,
    alter column enabled set not null;

alter table db_dbcomment
    alter column uuid set not null,
    alter column dbnode_id set not null,
    alter column ctime set not null,
    alter column mtime set not null,
    alter column user_id set not null,
    alter column content set not null;

alter table db_dbcomputer
    alter column uuid set not null,
    alter column hostname set not null,
    alter column description set not null,
    alter column transport_type set not null,
    alter column scheduler_type set not null,
    alter column metadata set not null;

alter table db_dbgroup
    alter column uuid set not null,
    alter column label set not null,
    alter column type_string set not null,
    alter column time set not null,
    alter column description set not null,
    alter column user_id set not null;

alter table db_dbgroup_dbnodes
    alter column dbnode_id set not null,
    alter column dbgroup_id set not null;

alter table db_dblink
    alter column input_id set not null,
    alter column output_id set not null,
    alter column type set not null;

alter table db_dblog
    alter column uuid set not null,
    alter column time set not null,
    alter column loggername set not null,
    alter column levelname type varchar(50),
    alter column levelname set not null,
    alter column message set not null,
    alter column metadata set not null;

alter table db_dbnode
    alter column uuid set not null,
    alter column node_type set not null,
    alter column label set not null,
    alter column description set not null,
    alter column ctime set not null,
    alter column mtime set not null;

alter table db_dbsetting
    alter column key type varchar(1024),
    alter column description type text,
    alter column time set not null;

alter table db_dbuser
    alter column email set not null,
    alter column first_name set not null,
    alter column last_name set not null,
    alter column institution set not null;
