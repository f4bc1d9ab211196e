-- name: changed_processes
-- purpose: Which processes have changed since a time, the first changes first
-- parameters: $1 states text[]: the states to look for, null for any
--     $2 since timestamptz: the earliest time of creation, null for any
--     $3 changed_after timestamptz: the time after which they changed
--     $4 most bigint: how many rows at most, but for those that changed at the same time as the
--         last, null for all
-- result: pk bigint, uuid text, process_label text, process_type text, state text, status text,
--     exit_status bigint, paused bool, sealed bool, ctime timestamptz, mtime timestamptz; one row
--     per process, by time of the last change and then pk; what is not of the type that AiiDA gives
--     it is null, and so are times that Python cannot hold
with found as (
    select
        node.id,
        node.mtime
    from db_dbnode as node
    where node.node_type like 'process.%'
        and node.mtime > $3::timestamptz
        -- One that Python cannot hold could not be given as the next time.
        and node.mtime <= '9999-12-31 23:59:59.999999+00'::timestamptz
        and ($1::text[] is null or left(node.attributes ->> 'process_state', 10) = any($1::text[]))
        and ($2::timestamptz is null or node.ctime >= $2::timestamptz)
    order by node.mtime
    fetch first (coalesce($4::bigint, 9223372036854775807)) rows with ties
)

select
    node.id::bigint as pk,
    coalesce(node.uuid::text, '') as uuid,
    case
        when jsonb_typeof(node.attributes -> 'process_label') = 'string'
            then node.attributes ->> 'process_label'
    end as process_label,
    node.process_type::text,
    case
        when jsonb_typeof(node.attributes -> 'process_state') = 'string'
            then node.attributes ->> 'process_state'
    end as state,
    case
        when jsonb_typeof(node.attributes -> 'process_status') = 'string'
            then node.attributes ->> 'process_status'
    end as status,
    case
        -- An integer that surely fits. No backslash: with standard_conforming_strings off, the
        -- server drops it.
        when node.attributes ->> 'exit_status' ~ '^-?[0-9]{1,18}$'
            and jsonb_typeof(node.attributes -> 'exit_status') = 'number'
            then (node.attributes ->> 'exit_status')::bigint
    end as exit_status,
    coalesce(node.attributes -> 'paused' = 'true'::jsonb, false) as paused,
    coalesce(node.attributes -> 'sealed' = 'true'::jsonb, false) as sealed,
    case when held.ctime then node.ctime end as ctime,
    case when held.mtime then node.mtime end as mtime
from found
inner join db_dbnode as node on node.id = found.id
inner join lateral (
    select
        node.ctime between '0001-01-01 00:00:00+00'::timestamptz
        and '9999-12-31 23:59:59.999999+00'::timestamptz as ctime,
        node.mtime between '0001-01-01 00:00:00+00'::timestamptz
        and '9999-12-31 23:59:59.999999+00'::timestamptz as mtime
) as held on true
order by
    found.mtime,
    found.id
