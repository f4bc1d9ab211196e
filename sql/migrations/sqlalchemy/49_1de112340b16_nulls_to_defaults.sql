-- migration: sqlalchemy_49_1de112340b16
-- from: 34a831f4286d
-- to: 1de112340b16
-- changes: What is null where AiiDA 2.x requires a value gets one: a uuid of its own, the current
--     time, an empty text, an empty dict; levels of logs are cut to 50 characters. Comments,
--     memberships of groups and computers' settings of users that lack one of the two rows they
--     connect are written to a file and removed.
-- why: The SQLAlchemy backend allowed null nearly everywhere, the main line hardly anywhere; the
--     next step forbids it. mtime is kept. What has no value that could be guessed (the type of a
--     node or of a link, the ends of a link, the user of a group) is left for the next step to
--     refuse. Where AiiDA silently deletes and truncates, what is lost is in a file.
-- tables: db_dbauthinfo, db_dbcomment, db_dbcomputer, db_dbgroup, db_dbgroup_dbnodes, db_dblog,
--     db_dbnode, db_dbsetting, db_dbuser

-- An empty dict for null, be it SQL's or JSON's.
create or replace function pg_temp.aiidadb_dict(written jsonb) returns jsonb
language sql immutable as $$
    select case when written is null or written = 'null' then '{}' else written end
$$;

-- Nothing can come in between what is written and what is removed.
lock table db_dbauthinfo, db_dbcomment, db_dbgroup_dbnodes, db_dblog in access exclusive mode;

create temporary table aiidadb_orphan (
    subject text not null,
    row_id integer not null,
    reason text not null
) on commit drop;

insert into aiidadb_orphan (subject, row_id, reason)
select
    'db_dbauthinfo',
    access.id,
    case when access.aiidauser_id is null then 'no_user' else 'no_computer' end
from db_dbauthinfo as access
where access.aiidauser_id is null
    or access.dbcomputer_id is null
union all
select
    'db_dbcomment',
    comment.id,
    case when comment.dbnode_id is null then 'no_node' else 'no_user' end
from db_dbcomment as comment
where comment.dbnode_id is null
    or comment.user_id is null
union all
select
    'db_dbgroup_dbnodes',
    member.id,
    case when member.dbnode_id is null then 'no_node' else 'no_group' end
from db_dbgroup_dbnodes as member
where member.dbnode_id is null
    or member.dbgroup_id is null;

-- call: export_long_levels

-- call: export_orphans

delete from db_dbauthinfo
where aiidauser_id is null
    or dbcomputer_id is null;

update db_dbauthinfo
set
    enabled = coalesce(enabled, true),
    auth_params = pg_temp.aiidadb_dict(auth_params),
    metadata = pg_temp.aiidadb_dict(metadata)
where enabled is null
    or coalesce(auth_params, 'null') = 'null'
    or coalesce(metadata, 'null') = 'null';

delete from db_dbcomment
where dbnode_id is null
    or user_id is null;

update db_dbcomment
set
    uuid = coalesce(uuid, gen_random_uuid()),
    content = coalesce(content, ''),
    ctime = coalesce(ctime, now()),
    mtime = coalesce(mtime, now())
where num_nulls(uuid, content, ctime, mtime) > 0;

update db_dbcomputer
set
    uuid = coalesce(uuid, gen_random_uuid()),
    description = coalesce(description, ''),
    hostname = coalesce(hostname, ''),
    scheduler_type = coalesce(scheduler_type, ''),
    transport_type = coalesce(transport_type, ''),
    metadata = pg_temp.aiidadb_dict(metadata)
where num_nulls(uuid, description, hostname, scheduler_type, transport_type) > 0
    or coalesce(metadata, 'null') = 'null';

-- Label and type string together are unique.
update db_dbgroup
set
    uuid = coalesce(uuid, gen_random_uuid()),
    label = coalesce(label, gen_random_uuid()::text),
    type_string = coalesce(type_string, 'core'),
    description = coalesce(description, ''),
    time = coalesce(time, now())
where num_nulls(uuid, label, type_string, description, time) > 0;

delete from db_dbgroup_dbnodes
where dbgroup_id is null
    or dbnode_id is null;

update db_dblog
set
    uuid = coalesce(uuid, gen_random_uuid()),
    levelname = left(coalesce(levelname, ''), 50),
    loggername = coalesce(loggername, ''),
    message = coalesce(message, ''),
    time = coalesce(time, now()),
    metadata = pg_temp.aiidadb_dict(metadata)
where num_nulls(uuid, levelname, loggername, message, time) > 0
    or length(levelname) > 50
    or coalesce(metadata, 'null') = 'null';

update db_dbnode
set
    uuid = coalesce(uuid, gen_random_uuid()),
    label = coalesce(label, ''),
    description = coalesce(description, ''),
    ctime = coalesce(ctime, now()),
    mtime = coalesce(mtime, now())
where num_nulls(uuid, label, description, ctime, mtime) > 0;

update db_dbsetting
set time = now()
where time is null;

update db_dbuser
set
    email = coalesce(email, gen_random_uuid()::text),
    first_name = coalesce(first_name, ''),
    last_name = coalesce(last_name, ''),
    institution = coalesce(institution, '')
where num_nulls(email, first_name, last_name, institution) > 0;
