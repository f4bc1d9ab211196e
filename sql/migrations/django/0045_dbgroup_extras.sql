-- migration: django_0045
-- from: 1.0.44
-- to: 1.0.45
-- also: 0edcdd5a30f0
-- changes: Groups get the column `extras`, empty on the existing ones. Django's own tables
--     (auth, contenttypes) become those of Django 2.2, with their rows in django_migrations and
--     with Django's permissions for the models that are left.
-- sqlalchemy changes: Groups get the column `extras`, empty on the existing ones.
-- why: As nodes, groups can be given extras of the user's own. AiiDA keeps no default in the
--     database; the one given while the column is added fills the rows without writing them. Django
--     has migrations of its own, which aiida-core 1.6.9 runs beside AiiDA's; here they are part of
--     the last step, since every database on its way to 1.0.45 takes that one, whichever Django
--     made it. What such a database already has is skipped.
-- tables: db_dbgroup, auth_group, auth_permission, django_content_type, django_migrations
-- sqlalchemy tables: db_dbgroup
-- drops: django_content_type.name
-- sqlalchemy drops: none
-- remakes: auth_group.name, auth_permission.name
-- sqlalchemy remakes: none

alter table db_dbgroup
    add column extras jsonb not null default '{}';
alter table db_dbgroup
    alter column extras drop default;

-- django alone:
do $$
begin
    -- Where aiida-core 2.x made the database, it put tables with an id alone in their place.
    if not exists (
        select
        from pg_catalog.pg_attribute as attribute
        where attribute.attrelid = to_regclass('django_content_type')
            and attribute.attname = 'app_label'
    ) then
        return;
    end if;

    alter table auth_group alter column name type varchar(150);
    alter table auth_permission alter column name type varchar(255);
    alter table django_content_type drop column if exists name;

    create temporary table aiidadb_model on commit drop as
    select app_label, replace(verbose_name, ' ', '') as model, verbose_name, position
    from (
        values
            ('auth', 'permission', 1),
            ('auth', 'group', 2),
            ('contenttypes', 'content type', 3),
            ('db', 'db user', 4),
            ('db', 'db auth info', 5),
            ('db', 'db comment', 6),
            ('db', 'db computer', 7),
            ('db', 'db group', 8),
            ('db', 'db link', 9),
            ('db', 'db log', 10),
            ('db', 'db node', 11),
            ('db', 'db setting', 12)
    ) as models (app_label, verbose_name, position);

    -- The ids are given, not drawn: a sequence does not go back when a run is rolled back, and the
    -- next run would leave a gap.
    insert into django_content_type (id, app_label, model)
    select
        (select coalesce(max(id), 0) from django_content_type)
        + row_number() over (order by model.position),
        model.app_label,
        model.model
    from aiidadb_model as model
    where
        not exists (
            select
            from django_content_type as known
            where known.app_label = model.app_label
                and known.model = model.model
        );

    -- Those to view came with Django 2.1.
    insert into auth_permission (id, name, content_type_id, codename)
    select
        (select coalesce(max(id), 0) from auth_permission)
        + row_number() over (order by model.position, actions.rank),
        format('Can %s %s', action, model.verbose_name),
        content_type.id,
        format('%s_%s', action, model.model)
    from aiidadb_model as model
    inner join django_content_type as content_type
        on content_type.app_label = model.app_label
        and content_type.model = model.model
    cross join unnest(array['add', 'change', 'delete', 'view'])
        with ordinality as actions (action, rank)
    where
        not exists (
            select
            from auth_permission as known
            where known.content_type_id = content_type.id
                and known.codename = format('%s_%s', action, model.model)
        );

    perform setval(pg_get_serial_sequence('django_content_type', 'id'), max(id))
    from django_content_type;
    perform setval(pg_get_serial_sequence('auth_permission', 'id'), max(id))
    from auth_permission;

    insert into django_migrations (app, name, applied)
    select done.app, done.name, now()
    from (
        values
            ('contenttypes', '0001_initial', 1),
            ('contenttypes', '0002_remove_content_type_name', 2),
            ('auth', '0001_initial', 3),
            ('auth', '0002_alter_permission_name_max_length', 4),
            ('auth', '0003_alter_user_email_max_length', 5),
            ('auth', '0004_alter_user_username_opts', 6),
            ('auth', '0005_alter_user_last_login_null', 7),
            ('auth', '0006_require_contenttypes_0002', 8),
            ('auth', '0007_alter_validators_add_error_messages', 9),
            ('auth', '0008_alter_user_username_max_length', 10),
            ('auth', '0009_alter_user_last_name_max_length', 11),
            ('auth', '0010_alter_group_name_max_length', 12),
            ('auth', '0011_update_proxy_permissions', 13)
    ) as done (app, name, position)
    where
        not exists (
            select
            from django_migrations as known
            where known.app = done.app
                and known.name = done.name
        )
    order by done.position;
end
$$;
