-- Functions that record in the database which version it has, in AiiDA's own ways. The runner
-- creates them in schema pg_temp at the start of each migrating session, beside those of
-- common.sql, and calls one at the end of each step, in the step's transaction.
--
--   aiidadb_note_setting(version)            the setting db|schemaversion, which AiiDA 1.x reads
--   aiidadb_note_step(name, version)         a row of django_migrations and that setting, to 1.0.49
--   aiidadb_note_revision(revision)          the one row of alembic_version: from 1.0.50 on
--   aiidadb_hand_on(table)                   the table is the one's, and open to those, whose the
--       settings are: the role that migrates need not be the one that AiiDA connects as
--   aiidadb_settle_half_way(names, version)  Django's bookkeeping alone, where aiida-core 2.x
--       began to migrate, left, and recorded its steps for Alembic only


create or replace function pg_temp.aiidadb_note_setting(version text) returns void
language plpgsql as $$
begin
    -- Before 1.0.37 a setting lies in a column of its type.
    if exists (
        select
        from pg_catalog.pg_attribute as attribute
        where attribute.attrelid = 'db_dbsetting'::regclass
            and attribute.attname = 'tval'
            and not attribute.attisdropped
    ) then
        update db_dbsetting
        set tval = version, datatype = 'txt', time = now()
        where key = 'db|schemaversion';
        if not found then
            insert into db_dbsetting (key, tval, datatype, description, time)
            values ('db|schemaversion', version, 'txt', 'Database schema version', now());
        end if;
    else
        update db_dbsetting
        set val = to_jsonb(version), time = now()
        where key = 'db|schemaversion';
        if not found then
            insert into db_dbsetting (key, val, description, time)
            values ('db|schemaversion', to_jsonb(version), 'Database schema version', now());
        end if;
    end if;
end
$$;


create or replace function pg_temp.aiidadb_note_step(step_name text, version text) returns void
language plpgsql as $$
begin
    insert into django_migrations (app, name, applied)
    values ('db', step_name, now());
    perform pg_temp.aiidadb_note_setting(version);
end
$$;


create or replace function pg_temp.aiidadb_hand_on(table_name text) returns void
language plpgsql as $$
declare
    owner_name name;
    given record;
begin
    select pg_get_userbyid(settings.relowner) into owner_name
    from pg_catalog.pg_class as settings
    where settings.oid = 'db_dbsetting'::regclass;
    for given in
        select
            acl.privilege_type as privilege,
            case acl.grantee when 0 then 'public' else acl.grantee::regrole::text end as grantee
        from pg_catalog.pg_class as settings
        inner join lateral aclexplode(settings.relacl) as acl on true
        where settings.oid = 'db_dbsetting'::regclass
            and acl.grantee <> settings.relowner
    loop
        execute format(
            'grant %s on %I to %s', given.privilege, table_name, given.grantee
        );
    end loop;
    if owner_name <> current_user then
        execute format('alter table %I owner to %I', table_name, owner_name);
    end if;
exception
    -- Of an owner that may make no tables of its own.
    when insufficient_privilege then
        execute format('grant all on %I to %I', table_name, owner_name);
end
$$;


create or replace function pg_temp.aiidadb_note_revision(revision text) returns void
language plpgsql as $$
begin
    -- As Alembic makes it.
    if to_regclass('alembic_version') is null then
        create table alembic_version (
            version_num varchar(32) not null constraint alembic_version_pkc primary key
        );
        perform pg_temp.aiidadb_hand_on('alembic_version');
    end if;
    delete from alembic_version;
    insert into alembic_version (version_num)
    values (revision);
end
$$;


create or replace function pg_temp.aiidadb_settle_half_way(step_names text[], version text)
returns void
language plpgsql as $$
begin
    -- Where aiida-core 2.x built the old schema itself, Django's table is a stub.
    if not exists (
        select
        from pg_catalog.pg_attribute as attribute
        where attribute.attrelid = to_regclass('django_migrations')
            and attribute.attname = 'app'
    ) then
        drop table if exists django_migrations;
        create table django_migrations (
            id serial primary key,
            app varchar(255) not null,
            name varchar(255) not null,
            applied timestamptz not null
        );
        perform pg_temp.aiidadb_hand_on('django_migrations');
    end if;
    insert into django_migrations (app, name, applied)
    select 'db', taken.name, now()
    from unnest(step_names) with ordinality as taken (name, position)
    where
        not exists (
            select
            from django_migrations as noted
            where noted.app = 'db' and noted.name = taken.name
        )
    order by taken.position;
    perform pg_temp.aiidadb_note_setting(version);
    drop table alembic_version;
end
$$;
