-- name: repository_uuid_write
-- purpose: Ties a container to its database: the setting with which aiida-core 2.x compares the
--     container's id when it opens a profile
-- parameters: $1 container_id text: the container's id
-- schema: django_0046, main_0002
-- result: previous text; one row, null where there was no such setting
with previous as (
    -- read before it is overwritten, so that a change is reported
    select setting.val #>> '{}' as container_id
    from db_dbsetting as setting
    where setting.key = 'repository|uuid'
),

written as (
    insert into db_dbsetting (key, val, description, time)
    values ('repository|uuid', to_jsonb($1::text), 'Repository UUID', now())
    on conflict (key) do update
        set val = excluded.val,
            time = excluded.time
)

select (select previous.container_id from previous) as previous
