-- name: processes
-- purpose: Which processes there are, the newest first
-- parameters: $1 states text[]: the states to look for, null for any
--     $2 since timestamptz: the earliest time of creation, null for any
--     $3 most bigint: how many rows at most, null for all
--     $4 among text: nodes of which one it must be, as the text of an array, null for any
-- result: pk bigint, uuid text, process_label text, process_type text, state text, status text,
--     exit_status bigint, paused bool, sealed bool, ctime timestamptz, mtime timestamptz; one row
--     per process, by time of creation and then pk, both descending; what is not of the type that
--     AiiDA gives it is null, and so are times that Python cannot hold
with found as (
    select
        node.id,
        node.ctime
    from db_dbnode as node
    where node.node_type like 'process.%'
        -- As in the index on states, if there is one: see create_process_state_index.
        and ($1::text[] is null or left(node.attributes ->> 'process_state', 10) = any($1::text[]))
        and ($2::timestamptz is null or node.ctime >= $2::timestamptz)
        and ($4::text is null or node.id = any($4::text::bigint[]))
    order by
        node.ctime desc,
        node.id desc
    limit $3::bigint
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
    found.ctime desc,
    found.id desc
