-- schema: django_0045
-- purpose: the whole schema of the django line's head, 1.0.45, for a new, empty database, with the
--     bookkeeping by which aiida-core 1.6.9 recognises it as one of its own
-- source: what aiida-core 1.6.9 with Django 2.2 leaves after `verdi setup`: the same columns,
--     constraints, indexes, names and rows
--
-- Names end in the hash that Django 2.2 gave them when it first made them: a column renamed since
-- (`name` of a group is `label` now) is still in the name of its index.
-- No foreign key has an `on delete` rule, because Django itself deleted what referred to a row; all
-- are checked at the commit.

-- Users and computers ----------------------------------------------------------------------------

create table db_dbuser (
    id serial constraint db_dbuser_pkey primary key,
    email varchar(254) not null constraint db_dbuser_email_30150b7e_uniq unique,
    first_name varchar(254) not null,
    last_name varchar(254) not null,
    institution varchar(254) not null
);
create index db_dbuser_email_30150b7e_like on db_dbuser (email varchar_pattern_ops);

create table db_dbcomputer (
    id serial constraint db_dbcomputer_pkey primary key,
    uuid uuid not null constraint db_dbcomputer_uuid_f35defa6_uniq unique,
    name varchar(255) not null constraint db_dbcomputer_name_key unique,
    hostname varchar(255) not null,
    description text not null,
    transport_type varchar(255) not null,
    scheduler_type varchar(255) not null,
    metadata jsonb not null
);
create index db_dbcomputer_name_f1800b1a_like on db_dbcomputer (name varchar_pattern_ops);

-- How one user reaches one computer.
create table db_dbauthinfo (
    id serial constraint db_dbauthinfo_pkey primary key,
    auth_params jsonb not null,
    metadata jsonb not null,
    enabled boolean not null,
    aiidauser_id integer not null
        constraint db_dbauthinfo_aiidauser_id_0684fdfb_fk_db_dbuser_id
        references db_dbuser (id) deferrable initially deferred,
    dbcomputer_id integer not null
        constraint db_dbauthinfo_dbcomputer_id_424f7ac4_fk_db_dbcomputer_id
        references db_dbcomputer (id) deferrable initially deferred,
    constraint db_dbauthinfo_aiidauser_id_dbcomputer_id_777cdaa8_uniq
        unique (aiidauser_id, dbcomputer_id)
);
create index db_dbauthinfo_aiidauser_id_0684fdfb on db_dbauthinfo (aiidauser_id);
create index db_dbauthinfo_dbcomputer_id_424f7ac4 on db_dbauthinfo (dbcomputer_id);

-- The provenance graph ---------------------------------------------------------------------------

create table db_dbnode (
    id serial constraint db_dbnode_pkey primary key,
    uuid uuid not null constraint db_dbnode_uuid_62e0bf98_uniq unique,
    node_type varchar(255) not null,
    label varchar(255) not null,
    description text not null,
    ctime timestamptz not null,
    mtime timestamptz not null,
    -- null for what was not made on a computer, which is most data
    dbcomputer_id integer
        constraint db_dbnode_dbcomputer_id_315372a3_fk_db_dbcomputer_id
        references db_dbcomputer (id) deferrable initially deferred,
    user_id integer not null
        constraint db_dbnode_user_id_12e7aeaf_fk_db_dbuser_id
        references db_dbuser (id) deferrable initially deferred,
    -- null for data
    process_type varchar(255),
    attributes jsonb,
    extras jsonb
);
create index db_dbnode_ctime_71626ef5 on db_dbnode (ctime);
create index db_dbnode_dbcomputer_id_315372a3 on db_dbnode (dbcomputer_id);
create index db_dbnode_label_6469539e on db_dbnode (label);
create index db_dbnode_label_6469539e_like on db_dbnode (label varchar_pattern_ops);
create index db_dbnode_mtime_0554ea3d on db_dbnode (mtime);
create index db_dbnode_process_type_df7298d0 on db_dbnode (process_type);
create index db_dbnode_process_type_df7298d0_like on db_dbnode (process_type varchar_pattern_ops);
create index db_dbnode_type_a8ce9753 on db_dbnode (node_type);
create index db_dbnode_type_a8ce9753_like on db_dbnode (node_type varchar_pattern_ops);
create index db_dbnode_user_id_12e7aeaf on db_dbnode (user_id);

create table db_dblink (
    id serial constraint db_dblink_pkey primary key,
    label varchar(255) not null,
    input_id integer not null
        constraint db_dblink_input_id_9245bd73_fk_db_dbnode_id
        references db_dbnode (id) deferrable initially deferred,
    output_id integer not null
        constraint db_dblink_output_id_c0167528_fk_db_dbnode_id
        references db_dbnode (id) deferrable initially deferred,
    type varchar(255) not null
);
create index db_dblink_input_id_9245bd73 on db_dblink (input_id);
create index db_dblink_label_f1343cfb on db_dblink (label);
create index db_dblink_label_f1343cfb_like on db_dblink (label varchar_pattern_ops);
create index db_dblink_output_id_c0167528 on db_dblink (output_id);
create index db_dblink_type_229f212b on db_dblink (type);
create index db_dblink_type_229f212b_like on db_dblink (type varchar_pattern_ops);

-- What is said about nodes -----------------------------------------------------------------------

create table db_dbcomment (
    id serial constraint db_dbcomment_pkey primary key,
    uuid uuid not null constraint db_dbcomment_uuid_49bac08c_uniq unique,
    ctime timestamptz not null,
    mtime timestamptz not null,
    content text not null,
    dbnode_id integer not null
        constraint db_dbcomment_dbnode_id_3b812b6b_fk_db_dbnode_id
        references db_dbnode (id) deferrable initially deferred,
    user_id integer not null
        constraint db_dbcomment_user_id_8ed5e360_fk_db_dbuser_id
        references db_dbuser (id) deferrable initially deferred
);
create index db_dbcomment_dbnode_id_3b812b6b on db_dbcomment (dbnode_id);
create index db_dbcomment_user_id_8ed5e360 on db_dbcomment (user_id);

create table db_dblog (
    id serial constraint db_dblog_pkey primary key,
    time timestamptz not null,
    loggername varchar(255) not null,
    levelname varchar(50) not null,
    message text not null,
    metadata jsonb not null,
    dbnode_id integer not null
        constraint db_dblog_dbnode_id_da34b732_fk_db_dbnode_id
        references db_dbnode (id) deferrable initially deferred,
    uuid uuid not null constraint db_dblog_uuid_9cf77df3_uniq unique
);
create index db_dblog_dbnode_id_da34b732 on db_dblog (dbnode_id);
create index db_dblog_levelname_ad5dc346 on db_dblog (levelname);
create index db_dblog_levelname_ad5dc346_like on db_dblog (levelname varchar_pattern_ops);
create index db_dblog_loggername_00b5ba16 on db_dblog (loggername);
create index db_dblog_loggername_00b5ba16_like on db_dblog (loggername varchar_pattern_ops);

create table db_dbgroup (
    id serial constraint db_dbgroup_pkey primary key,
    uuid uuid not null constraint db_dbgroup_uuid_af896177_uniq unique,
    label varchar(255) not null,
    type_string varchar(255) not null,
    time timestamptz not null,
    description text not null,
    user_id integer not null
        constraint db_dbgroup_user_id_100f8a51_fk_db_dbuser_id
        references db_dbuser (id) deferrable initially deferred,
    extras jsonb not null,
    constraint db_dbgroup_name_type_12656f33_uniq unique (label, type_string)
);
create index db_dbgroup_name_66c75272 on db_dbgroup (label);
create index db_dbgroup_name_66c75272_like on db_dbgroup (label varchar_pattern_ops);
create index db_dbgroup_type_23b2a748 on db_dbgroup (type_string);
create index db_dbgroup_type_23b2a748_like on db_dbgroup (type_string varchar_pattern_ops);
create index db_dbgroup_user_id_100f8a51 on db_dbgroup (user_id);

create table db_dbgroup_dbnodes (
    id serial constraint db_dbgroup_dbnodes_pkey primary key,
    dbgroup_id integer not null
        constraint db_dbgroup_dbnodes_dbgroup_id_9d3a0f9d_fk_db_dbgroup_id
        references db_dbgroup (id) deferrable initially deferred,
    dbnode_id integer not null
        constraint db_dbgroup_dbnodes_dbnode_id_118b9439_fk_db_dbnode_id
        references db_dbnode (id) deferrable initially deferred,
    constraint db_dbgroup_dbnodes_dbgroup_id_dbnode_id_eee23cce_uniq
        unique (dbgroup_id, dbnode_id)
);
create index db_dbgroup_dbnodes_dbgroup_id_9d3a0f9d on db_dbgroup_dbnodes (dbgroup_id);
create index db_dbgroup_dbnodes_dbnode_id_118b9439 on db_dbgroup_dbnodes (dbnode_id);

-- Settings, the schema's version among them ------------------------------------------------------

create table db_dbsetting (
    id serial constraint db_dbsetting_pkey primary key,
    key varchar(1024) not null constraint db_dbsetting_key_1b84beb4_uniq unique,
    description text not null,
    time timestamptz not null,
    val jsonb
);
create index db_dbsetting_key_1b84beb4_like on db_dbsetting (key varchar_pattern_ops);

insert into db_dbsetting (key, description, time, val)
values
    ('db|schemaversion', 'Database schema version', now(), '"1.0.45"'),
    ('schema_generation', 'Database schema generation', now(), '"1"');

-- Django's own tables ----------------------------------------------------------------------------
-- AiiDA reads none of these but django_migrations. Django makes and fills them, and looks up in
-- them, when it next migrates, what exists already.

create table django_migrations (
    id serial constraint django_migrations_pkey primary key,
    app varchar(255) not null,
    name varchar(255) not null,
    applied timestamptz not null
);

-- In the order in which Django 2.2 applies them: what the apps depend on comes first.
insert into django_migrations (app, name, applied)
values
    ('contenttypes', '0001_initial', now()),
    ('contenttypes', '0002_remove_content_type_name', now()),
    ('auth', '0001_initial', now()),
    ('auth', '0002_alter_permission_name_max_length', now()),
    ('auth', '0003_alter_user_email_max_length', now()),
    ('auth', '0004_alter_user_username_opts', now()),
    ('auth', '0005_alter_user_last_login_null', now()),
    ('auth', '0006_require_contenttypes_0002', now()),
    ('auth', '0007_alter_validators_add_error_messages', now()),
    ('auth', '0008_alter_user_username_max_length', now()),
    ('auth', '0009_alter_user_last_name_max_length', now()),
    ('auth', '0010_alter_group_name_max_length', now()),
    ('auth', '0011_update_proxy_permissions', now()),
    ('db', '0001_initial', now()),
    ('db', '0002_db_state_change', now()),
    ('db', '0003_add_link_type', now()),
    ('db', '0004_add_daemon_and_uuid_indices', now()),
    ('db', '0005_add_cmtime_indices', now()),
    ('db', '0006_delete_dbpath', now()),
    ('db', '0007_update_linktypes', now()),
    ('db', '0008_code_hidden_to_extra', now()),
    ('db', '0009_base_data_plugin_type_string', now()),
    ('db', '0010_process_type', now()),
    ('db', '0011_delete_kombu_tables', now()),
    ('db', '0012_drop_dblock', now()),
    ('db', '0013_django_1_8', now()),
    ('db', '0014_add_node_uuid_unique_constraint', now()),
    ('db', '0015_invalidating_node_hash', now()),
    ('db', '0016_code_sub_class_of_data', now()),
    ('db', '0017_drop_dbcalcstate', now()),
    ('db', '0018_django_1_11', now()),
    ('db', '0019_migrate_builtin_calculations', now()),
    ('db', '0020_provenance_redesign', now()),
    ('db', '0021_dbgroup_name_to_label_type_to_type_string', now()),
    ('db', '0022_dbgroup_type_string_change_content', now()),
    ('db', '0023_calc_job_option_attribute_keys', now()),
    ('db', '0024_dblog_update', now()),
    ('db', '0025_move_data_within_node_module', now()),
    ('db', '0026_trajectory_symbols_to_attribute', now()),
    ('db', '0027_delete_trajectory_symbols_array', now()),
    ('db', '0028_remove_node_prefix', now()),
    ('db', '0029_rename_parameter_data_to_dict', now()),
    ('db', '0030_dbnode_type_to_dbnode_node_type', now()),
    ('db', '0031_remove_dbcomputer_enabled', now()),
    ('db', '0032_remove_legacy_workflows', now()),
    ('db', '0033_replace_text_field_with_json_field', now()),
    ('db', '0034_drop_node_columns_nodeversion_public', now()),
    ('db', '0035_simplify_user_model', now()),
    ('db', '0036_drop_computer_transport_params', now()),
    ('db', '0037_attributes_extras_settings_json', now()),
    ('db', '0038_data_migration_legacy_job_calculations', now()),
    ('db', '0039_reset_hash', now()),
    ('db', '0040_data_migration_legacy_process_attributes', now()),
    ('db', '0041_seal_unsealed_processes', now()),
    ('db', '0042_prepare_schema_reset', now()),
    ('db', '0043_default_link_label', now()),
    ('db', '0044_dbgroup_type_string', now()),
    ('db', '0045_dbgroup_extras', now());

-- One row per model of the apps.
create table django_content_type (
    id serial constraint django_content_type_pkey primary key,
    app_label varchar(100) not null,
    model varchar(100) not null,
    constraint django_content_type_app_label_model_76bd3d3b_uniq unique (app_label, model)
);

insert into django_content_type (app_label, model)
values
    ('auth', 'permission'),
    ('auth', 'group'),
    ('contenttypes', 'contenttype'),
    ('db', 'dbuser'),
    ('db', 'dbauthinfo'),
    ('db', 'dbcomment'),
    ('db', 'dbcomputer'),
    ('db', 'dbgroup'),
    ('db', 'dblink'),
    ('db', 'dblog'),
    ('db', 'dbnode'),
    ('db', 'dbsetting');

create table auth_permission (
    id serial constraint auth_permission_pkey primary key,
    name varchar(255) not null,
    content_type_id integer not null
        constraint auth_permission_content_type_id_2f476e4b_fk_django_co
        references django_content_type (id) deferrable initially deferred,
    codename varchar(100) not null,
    constraint auth_permission_content_type_id_codename_01ab375a_uniq
        unique (content_type_id, codename)
);
create index auth_permission_content_type_id_2f476e4b on auth_permission (content_type_id);

-- Four permissions per model, model by model: `Can add db user`, `add_dbuser`.
insert into auth_permission (name, content_type_id, codename)
select
    concat_ws(' ', 'Can', action.name, coalesce(spelt.name, content_type.model)),
    content_type.id,
    concat(action.name, '_', content_type.model)
from django_content_type as content_type
cross join (values (1, 'add'), (2, 'change'), (3, 'delete'), (4, 'view')) as action (rank, name)
-- Django takes the class's name apart at its capitals (`DbAuthInfo`), which the row does not keep.
left join (
    values
        ('contenttype', 'content type'),
        ('dbuser', 'db user'),
        ('dbauthinfo', 'db auth info'),
        ('dbcomment', 'db comment'),
        ('dbcomputer', 'db computer'),
        ('dbgroup', 'db group'),
        ('dblink', 'db link'),
        ('dblog', 'db log'),
        ('dbnode', 'db node'),
        ('dbsetting', 'db setting')
) as spelt (model, name) on spelt.model = content_type.model
order by content_type.id, action.rank;

create table auth_group (
    id serial constraint auth_group_pkey primary key,
    name varchar(150) not null constraint auth_group_name_key unique
);
create index auth_group_name_a6ea08ec_like on auth_group (name varchar_pattern_ops);

create table auth_group_permissions (
    id serial constraint auth_group_permissions_pkey primary key,
    group_id integer not null
        constraint auth_group_permissions_group_id_b120cbf9_fk_auth_group_id
        references auth_group (id) deferrable initially deferred,
    permission_id integer not null
        constraint auth_group_permissio_permission_id_84c5c92e_fk_auth_perm
        references auth_permission (id) deferrable initially deferred,
    constraint auth_group_permissions_group_id_permission_id_0cd325b0_uniq
        unique (group_id, permission_id)
);
create index auth_group_permissions_group_id_b120cbf9 on auth_group_permissions (group_id);
create index auth_group_permissions_permission_id_84c5c92e
    on auth_group_permissions (permission_id);
