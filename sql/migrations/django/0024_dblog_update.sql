-- migration: django_0024
-- from: 1.0.23
-- to: 1.0.24
-- also: 041a79fc615f
-- changes: Every log belongs to a node: objpk becomes dbnode_id with a foreign key, objname is
--     dropped, and both are removed from the metadata. Logs of legacy workflows, of unknown
--     entities and of nodes that are gone are written to files and removed. Logs get a uuid.
-- sqlalchemy changes: Every log belongs to a node: objpk becomes dbnode_id with a foreign key,
--     objname is dropped, and both are removed from the metadata. Logs of legacy workflows, of
--     unknown entities, of nodes that are gone and of nothing at all are written to files and
--     removed.
-- why: Logs can then be exported with their nodes. aiida-core 2.9.4 does this in two steps, 0024a
--     and 0024, and leaves the metadata as it is; 1.6.9 does it in one and cleans the metadata, as
--     here.
-- sqlalchemy why: Logs can then be exported with their nodes. A log that has the id of a node, but
--     does not say that it is of a node, stays, as in AiiDA, whose step fails where there is no id
--     either. Metadata that are not a dict stay as they are; there AiiDA's step fails too.
-- tables: db_dblog
-- drops: db_dblog.objname
-- remakes: db_dblog.metadata
-- rows: select count(*) from db_dblog

-- Nothing can come in between what is written and what is removed.
lock table db_dblog in access exclusive mode;

create temporary table aiidadb_departing_logs (
    log_id integer primary key,
    reason text not null
) on commit drop;

insert into aiidadb_departing_logs (log_id, reason)
select
    log.id,
    case
        when log.objname like 'aiida.workflows.user.%' then 'workflow'
        when log.objname not like 'node.%' then 'unknown'
        when log.objname is null then 'nameless'
        else 'no_node'
    end
from db_dblog as log
where log.objname not like 'node.%'
    or not exists (
        select
        from db_dbnode as node
        where node.id = log.objpk
    );

-- call: export_logs

delete from db_dblog as log
using aiidadb_departing_logs as departing
where log.id = departing.log_id;

-- django alone:
create or replace function pg_temp.aiidadb_log_metadata(written text) returns text
language sql stable as $$
    select case
        when jsonb_typeof(parsed) = 'object' then (parsed - 'objpk' - 'objname')::text
        else written
    end
    from (select pg_temp.aiidadb_jsonb(written)) as metadata (parsed)
$$;

-- The table is rewritten once for all of it.
alter table db_dblog
    drop column objname,
    add column uuid uuid not null default gen_random_uuid(),
    alter column objpk set not null,
    alter column metadata type text using case
        when metadata like '%"objpk"%' or metadata like '%"objname"%'
            then pg_temp.aiidadb_log_metadata(metadata)
        else metadata
    end;
-- Django has the application fill in defaults, never the server.
alter table db_dblog alter column uuid drop default;
alter table db_dblog rename column objpk to dbnode_id;

select pg_temp.aiidadb_ensure_unique('db_dblog', array['uuid'], 'db_dblog_uuid_key');
select pg_temp.aiidadb_ensure_index('db_dblog', array['dbnode_id'], 'db_dblog_dbnode_id_idx');
select pg_temp.aiidadb_ensure_foreign_key(
    'db_dblog', array['dbnode_id'], 'db_dbnode', 'db_dblog_dbnode_id_fkey'
);

-- sqlalchemy alone:
select pg_temp.aiidadb_drop_index('db_dblog', array['objpk']);
-- The table is rewritten once for all of it.
alter table db_dblog
    drop column objname,
    alter column objpk set not null,
    alter column metadata type jsonb using case
        when jsonb_typeof(metadata) = 'object' then metadata - 'objpk' - 'objname'
        else metadata
    end;
alter table db_dblog rename column objpk to dbnode_id;

select pg_temp.aiidadb_ensure_foreign_key(
    'db_dblog',
    array['dbnode_id'],
    'db_dbnode',
    'db_dblog_dbnode_id_fkey',
    on_delete => 'cascade'
);
