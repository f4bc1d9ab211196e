-- migration: django_0050
-- from: 1.0.49
-- to: 1.0.50
-- also: 1de112340b18
-- changes: Every constraint and index gets AiiDA 2.0's standard name, foreign keys their rules for
--     deletes, and Django's own tables are dropped. Rows that belong to nodes, groups, users or
--     computers that are gone are removed too.
-- sqlalchemy changes: Every constraint and index gets AiiDA 2.0's standard name, those
--     that this line lacked are created, and foreign keys without a rule for deletes keep none.
--     Rows that belong to nodes, groups, users or computers that are gone are removed.
-- why: With this step the database becomes one of the main line, where every name is fixed. Until
--     now the names depended on the Django release that made the database, and Django itself, not
--     the server, followed the rules for deletes.
--     AiiDA's step drops all indexes and constraints and builds them anew. Here what is already
--     right is only renamed, which takes no time whatever the number of rows; only foreign keys
--     with another rule for deletes are made again, which checks their rows.
--     AiiDA's step also drops constraints and indexes that the user made. Here only what Django
--     can have made is dropped: plain indexes on one of its columns.
--     Rows that belong to what is gone are written to a file first. At some of them AiiDA's step
--     fails.
-- sqlalchemy why: With this step the database becomes one of the main line, where every name is
--     fixed. AiiDA's step drops all indexes and constraints, also those that the user made, and
--     builds its own anew. Here what is already right is only renamed, and what is missing is made.
--     Of the rest only plain indexes on one column are dropped, if AiiDA indexes that column. Rows
--     that belong to what is gone are written to a file first.
-- tables: db_dbauthinfo, db_dbcomment, db_dbcomputer, db_dbgroup, db_dbgroup_dbnodes, db_dblink,
--     db_dblog, db_dbnode, db_dbsetting, db_dbuser, auth_group, auth_group_permissions,
--     auth_permission, django_content_type, django_migrations
-- sqlalchemy tables: db_dbauthinfo, db_dbcomment, db_dbcomputer, db_dbgroup, db_dbgroup_dbnodes,
--     db_dblink, db_dblog, db_dbnode, db_dbsetting, db_dbuser
-- drops: auth_group, auth_group_permissions, auth_permission, django_content_type,
--     django_migrations, foreign key django_admin_log.content_type_id
-- sqlalchemy drops: none

-- What belongs to nodes, groups, users or computers that are gone is written to a file and removed.
-- Foreign keys do not allow such rows, so a dump that has them could not be restored, and AiiDA's
-- step, which makes the foreign keys again, fails at some of them.

create temporary table aiidadb_orphan (
    subject text not null,
    row_id integer not null,
    reason text not null
) on commit drop;

insert into aiidadb_orphan (subject, row_id, reason)
select
    'db_dblink',
    link.id,
    'no_node'
from db_dblink as link
left join db_dbnode as source on source.id = link.input_id
left join db_dbnode as target on target.id = link.output_id
where source.id is null
    or target.id is null
union all
select
    'db_dbgroup_dbnodes',
    member.id,
    case when node.id is null then 'no_node' else 'no_group' end
from db_dbgroup_dbnodes as member
left join db_dbnode as node on node.id = member.dbnode_id
left join db_dbgroup as grouping on grouping.id = member.dbgroup_id
where node.id is null
    or grouping.id is null
union all
select
    'db_dbcomment',
    comment.id,
    'no_node'
from db_dbcomment as comment
left join db_dbnode as node on node.id = comment.dbnode_id
where node.id is null
union all
select
    'db_dblog',
    log.id,
    'no_node'
from db_dblog as log
left join db_dbnode as node on node.id = log.dbnode_id
where node.id is null
union all
select
    'db_dbauthinfo',
    access.id,
    case when owner.id is null then 'no_user' else 'no_computer' end
from db_dbauthinfo as access
left join db_dbuser as owner on owner.id = access.aiidauser_id
left join db_dbcomputer as computer on computer.id = access.dbcomputer_id
where owner.id is null
    or computer.id is null;

-- call: export_orphans

delete from db_dblink as entry
using aiidadb_orphan as orphan
where orphan.subject = 'db_dblink'
    and entry.id = orphan.row_id;

delete from db_dbgroup_dbnodes as entry
using aiidadb_orphan as orphan
where orphan.subject = 'db_dbgroup_dbnodes'
    and entry.id = orphan.row_id;

delete from db_dbcomment as entry
using aiidadb_orphan as orphan
where orphan.subject = 'db_dbcomment'
    and entry.id = orphan.row_id;

delete from db_dblog as entry
using aiidadb_orphan as orphan
where orphan.subject = 'db_dblog'
    and entry.id = orphan.row_id;

delete from db_dbauthinfo as entry
using aiidadb_orphan as orphan
where orphan.subject = 'db_dbauthinfo'
    and entry.id = orphan.row_id;

-- All indexes, unique constraints and foreign keys of AiiDA 2.0. They are in tables, because they
-- are needed twice: to settle each of them, and to find what is left over.

create temporary table aiidadb_standard_index (
    table_name text,
    column_name text,
    -- whether it is the kind of index that serves `like 'abc%'`
    pattern boolean,
    name text
) on commit drop;

insert into aiidadb_standard_index (table_name, column_name, pattern, name)
values
    ('db_dbauthinfo', 'aiidauser_id', false, 'ix_db_dbauthinfo_aiidauser_id'),
    ('db_dbauthinfo', 'dbcomputer_id', false, 'ix_db_dbauthinfo_dbcomputer_id'),
    ('db_dbcomment', 'dbnode_id', false, 'ix_db_dbcomment_dbnode_id'),
    ('db_dbcomment', 'user_id', false, 'ix_db_dbcomment_user_id'),
    ('db_dbcomputer', 'label', true, 'ix_pat_db_dbcomputer_label'),
    ('db_dbgroup', 'label', false, 'ix_db_dbgroup_label'),
    ('db_dbgroup', 'label', true, 'ix_pat_db_dbgroup_label'),
    ('db_dbgroup', 'type_string', false, 'ix_db_dbgroup_type_string'),
    ('db_dbgroup', 'type_string', true, 'ix_pat_db_dbgroup_type_string'),
    ('db_dbgroup', 'user_id', false, 'ix_db_dbgroup_user_id'),
    ('db_dbgroup_dbnodes', 'dbgroup_id', false, 'ix_db_dbgroup_dbnodes_dbgroup_id'),
    ('db_dbgroup_dbnodes', 'dbnode_id', false, 'ix_db_dbgroup_dbnodes_dbnode_id'),
    ('db_dblink', 'input_id', false, 'ix_db_dblink_input_id'),
    ('db_dblink', 'output_id', false, 'ix_db_dblink_output_id'),
    ('db_dblink', 'label', false, 'ix_db_dblink_label'),
    ('db_dblink', 'label', true, 'ix_pat_db_dblink_label'),
    ('db_dblink', 'type', false, 'ix_db_dblink_type'),
    ('db_dblink', 'type', true, 'ix_pat_db_dblink_type'),
    ('db_dblog', 'dbnode_id', false, 'ix_db_dblog_dbnode_id'),
    ('db_dblog', 'levelname', false, 'ix_db_dblog_levelname'),
    ('db_dblog', 'levelname', true, 'ix_pat_db_dblog_levelname'),
    ('db_dblog', 'loggername', false, 'ix_db_dblog_loggername'),
    ('db_dblog', 'loggername', true, 'ix_pat_db_dblog_loggername'),
    ('db_dbnode', 'ctime', false, 'ix_db_dbnode_ctime'),
    ('db_dbnode', 'dbcomputer_id', false, 'ix_db_dbnode_dbcomputer_id'),
    ('db_dbnode', 'label', false, 'ix_db_dbnode_label'),
    ('db_dbnode', 'label', true, 'ix_pat_db_dbnode_label'),
    ('db_dbnode', 'mtime', false, 'ix_db_dbnode_mtime'),
    ('db_dbnode', 'node_type', false, 'ix_db_dbnode_node_type'),
    ('db_dbnode', 'node_type', true, 'ix_pat_db_dbnode_node_type'),
    ('db_dbnode', 'process_type', false, 'ix_db_dbnode_process_type'),
    ('db_dbnode', 'process_type', true, 'ix_pat_db_dbnode_process_type'),
    ('db_dbnode', 'user_id', false, 'ix_db_dbnode_user_id'),
    ('db_dbsetting', 'key', true, 'ix_pat_db_dbsetting_key'),
    ('db_dbuser', 'email', true, 'ix_pat_db_dbuser_email');

create temporary table aiidadb_standard_unique (
    table_name text,
    column_names text[],
    name text
) on commit drop;

insert into aiidadb_standard_unique (table_name, column_names, name)
values
    (
        'db_dbauthinfo', array['aiidauser_id', 'dbcomputer_id'],
        'uq_db_dbauthinfo_aiidauser_id_dbcomputer_id'
    ),
    ('db_dbcomment', array['uuid'], 'uq_db_dbcomment_uuid'),
    ('db_dbcomputer', array['label'], 'uq_db_dbcomputer_label'),
    ('db_dbcomputer', array['uuid'], 'uq_db_dbcomputer_uuid'),
    ('db_dbgroup', array['label', 'type_string'], 'uq_db_dbgroup_label_type_string'),
    ('db_dbgroup', array['uuid'], 'uq_db_dbgroup_uuid'),
    (
        'db_dbgroup_dbnodes', array['dbgroup_id', 'dbnode_id'],
        'uq_db_dbgroup_dbnodes_dbgroup_id_dbnode_id'
    ),
    ('db_dblog', array['uuid'], 'uq_db_dblog_uuid'),
    ('db_dbnode', array['uuid'], 'uq_db_dbnode_uuid'),
    ('db_dbsetting', array['key'], 'uq_db_dbsetting_key'),
    ('db_dbuser', array['email'], 'uq_db_dbuser_email');

create temporary table aiidadb_standard_foreign_key (
    table_name text,
    column_name text,
    referenced text,
    on_delete text,
    name text
) on commit drop;

insert into aiidadb_standard_foreign_key (table_name, column_name, referenced, on_delete, name)
values
    (
        'db_dbauthinfo', 'aiidauser_id', 'db_dbuser', 'cascade',
        'fk_db_dbauthinfo_aiidauser_id_db_dbuser'
    ),
    (
        'db_dbauthinfo', 'dbcomputer_id', 'db_dbcomputer', 'cascade',
        'fk_db_dbauthinfo_dbcomputer_id_db_dbcomputer'
    ),
    ('db_dbcomment', 'dbnode_id', 'db_dbnode', 'cascade', 'fk_db_dbcomment_dbnode_id_db_dbnode'),
    ('db_dbcomment', 'user_id', 'db_dbuser', 'cascade', 'fk_db_dbcomment_user_id_db_dbuser'),
    -- AiiDA's own mistake: the one name without `fk_`.
    ('db_dbgroup', 'user_id', 'db_dbuser', 'cascade', 'db_dbgroup_user_id_db_dbuser'),
    (
        'db_dbgroup_dbnodes', 'dbgroup_id', 'db_dbgroup', 'no action',
        'fk_db_dbgroup_dbnodes_dbgroup_id_db_dbgroup'
    ),
    (
        'db_dbgroup_dbnodes', 'dbnode_id', 'db_dbnode', 'no action',
        'fk_db_dbgroup_dbnodes_dbnode_id_db_dbnode'
    ),
    ('db_dblink', 'input_id', 'db_dbnode', 'no action', 'fk_db_dblink_input_id_db_dbnode'),
    ('db_dblink', 'output_id', 'db_dbnode', 'cascade', 'fk_db_dblink_output_id_db_dbnode'),
    ('db_dblog', 'dbnode_id', 'db_dbnode', 'cascade', 'fk_db_dblog_dbnode_id_db_dbnode'),
    (
        'db_dbnode', 'dbcomputer_id', 'db_dbcomputer', 'restrict',
        'fk_db_dbnode_dbcomputer_id_db_dbcomputer'
    ),
    ('db_dbnode', 'user_id', 'db_dbuser', 'restrict', 'fk_db_dbnode_user_id_db_dbuser');

-- For each of these: if the database has it, under whatever name, it is renamed; if it has several,
-- one of them; if it has none, it is made.

select pg_temp.aiidadb_settle_unique(table_name, column_names, name)
from aiidadb_standard_unique;

select pg_temp.aiidadb_settle_index(table_name, array[column_name], name, pattern)
from aiidadb_standard_index;

select
    pg_temp.aiidadb_settle_foreign_key(
        table_name, array[column_name], referenced, name, on_delete
    )
from aiidadb_standard_foreign_key;

-- By now all that is to stay has its standard name. What Django made in addition is dropped.

do $$
declare
    leftover record;
begin
    -- Only indexes of the kind that Django makes: B-trees that are not unique, on one column that
    -- has a standard index or a unique constraint as well.
    for leftover in
        select index.name
        from (
            select table_name, column_name from aiidadb_standard_index
            union
            select table_name, column_names[1]
            from aiidadb_standard_unique
            where cardinality(column_names) = 1
        ) as indexed
        inner join lateral pg_temp.aiidadb_find_indexes(
            indexed.table_name, array[indexed.column_name], null
        ) as index (name) on true
        where index.name not in (select standard.name from aiidadb_standard_index as standard)
    loop
        execute format('drop index %I', leftover.name);
    end loop;
end
$$;

-- django alone:
-- Django's own tables that AiiDA used. Other tables of Django's are left, since AiiDA did not make
-- them; `cascade` drops a foreign key of theirs to one of these.
drop table if exists
    auth_group_permissions,
    auth_permission,
    auth_group,
    django_content_type,
    django_migrations
cascade;
