-- migration: django_0018
-- from: 1.0.17
-- to: 1.0.18
-- changes: The uuids of nodes, comments, computers, groups and workflows become of type uuid, and
--     unique. The email of a user becomes unique again.
-- why: Django 1.11 knows the type; uniqueness was assumed before. Where two rows
--     share a uuid or an email, the step is refused, as AiiDA's own is for uuids. The pattern index
--     on db_dblink.type, which Django 1.7 forgot in 0003, is added here: at this version a
--     database is the same whichever Django made it.
-- tables: db_dbcomment, db_dbcomputer, db_dbgroup, db_dblink, db_dbnode, db_dbuser, db_dbworkflow
-- retypes: db_dbcomment.uuid, db_dbcomputer.uuid, db_dbgroup.uuid, db_dbnode.uuid,
--     db_dbworkflow.uuid
-- rows: select (select count(*) from db_dbcomment) + (select count(*) from db_dbcomputer)
--     + (select count(*) from db_dbgroup) + (select count(*) from db_dbnode)
--     + (select count(*) from db_dbworkflow)

select pg_temp.aiidadb_uuid_column('db_dbcomment');
select pg_temp.aiidadb_uuid_column('db_dbcomputer');
select pg_temp.aiidadb_uuid_column('db_dbgroup');
select pg_temp.aiidadb_uuid_column('db_dbworkflow');
select pg_temp.aiidadb_uuid_column('db_dbnode');

select
    pg_temp.aiidadb_refuse(
        'db_dbuser',
        count(*) filter (where bearers > 1),
        'with an email that another row also has',
        'Users are identified by email: give all but one of them another email, then migrate again.'
    )
from (
    select count(*) over (partition by email) as bearers
    from db_dbuser
) as counted;
select pg_temp.aiidadb_ensure_unique('db_dbuser', array['email'], 'db_dbuser_email_key');
select pg_temp.aiidadb_ensure_index(
    'db_dbuser', array['email'], 'db_dbuser_email_like', pattern => true
);

select pg_temp.aiidadb_ensure_index(
    'db_dblink', array['type'], 'db_dblink_type_like', pattern => true
);
