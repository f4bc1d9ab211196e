-- name: creation_statistics
-- purpose: How many nodes there are, of which types, and created on which days
-- parameters: $1 user_pk bigint: count this user's nodes, null for everybody's
--     $2 timezone text: the time zone in which a day is a day, null for the session's
-- result: total bigint, types json, ctime_by_day json; one row: the numbers by node type, and by
--     day as YYYY-MM-DD in ascending order
with recursive settings (zone, by_index) as materialized (
    -- Everybody's nodes can be counted from two indexes, several times faster than by a scan of the
    -- table. That takes pages whose rows are known to be visible: in a table that was filled or
    -- changed since its last vacuum, each entry of an index would cost a look at its row.
    select
        coalesce($2::text, current_setting('TimeZone')),
        $1::bigint is null
            and relation.relpages > 0
            and relation.relallvisible >= 0.9 * relation.relpages
    from pg_class as relation
    where relation.oid = 'db_dbnode'::regclass
),

day (date, first, beyond) as (
    -- The days that have nodes, by leaps over the index from a day's first node to the first one
    -- after its end: converting the time of every node to a day costs more than reading it.
    select
        null::date,
        null::timestamptz,
        '-infinity'::timestamptz
    from settings
    where settings.by_index

    union all

    select
        local.date,
        node.ctime,
        case
            -- Where clocks go back over midnight, it comes twice, and the server means the second.
            when shift.back > interval '0'
                and ((midnight.time - shift.back) at time zone settings.zone)::date > local.date
                then midnight.time - shift.back
            else midnight.time
        end
    from day
    cross join settings
    cross join lateral (
        select db_dbnode.ctime
        from db_dbnode
        where db_dbnode.ctime >= day.beyond
        order by db_dbnode.ctime
        limit 1
    ) as node
    cross join lateral (
        select (node.ctime at time zone settings.zone)::date as date
    ) as local
    cross join lateral (
        select (local.date + 1)::timestamp at time zone settings.zone as time
    ) as midnight
    cross join lateral (
        select
            (node.ctime at time zone settings.zone - node.ctime at time zone 'UTC')
            - (midnight.time at time zone settings.zone - midnight.time at time zone 'UTC')
            as back
    ) as shift
),

type (name) as (
    -- The node types, by leaps over their index.
    select min(db_dbnode.node_type)
    from db_dbnode
    where (select settings.by_index from settings)

    union all

    select (
        select min(db_dbnode.node_type)
        from db_dbnode
        where db_dbnode.node_type > type.name
    )
    from type
    where type.name is not null
),

counted (node_type, date, nodes) as (
    select
        null,
        day.date,
        (
            select count(*)
            from db_dbnode
            where db_dbnode.ctime >= day.first
                and db_dbnode.ctime < day.beyond
        )
    from day
    where day.date is not null

    union all

    select
        type.name,
        null,
        (
            select count(*)
            from db_dbnode
            where db_dbnode.node_type = type.name
        )
    from type
    where type.name is not null

    union all

    -- One scan, for one user's nodes or where the indexes are not enough.
    select
        db_dbnode.node_type,
        (db_dbnode.ctime at time zone (select settings.zone from settings))::date as local_date,
        count(*)
    from db_dbnode
    where (select not settings.by_index from settings)
        and ($1::bigint is null or db_dbnode.user_id = $1::bigint)
    group by
        db_dbnode.node_type,
        local_date
),

by_type (name, nodes) as materialized (
    select
        counted.node_type,
        sum(counted.nodes)::bigint
    from counted
    where counted.node_type is not null
    group by counted.node_type
),

by_day (date, nodes) as (
    select
        counted.date,
        sum(counted.nodes)::bigint
    from counted
    where counted.date is not null
    group by counted.date
)
select
    (select coalesce(sum(by_type.nodes), 0)::bigint from by_type) as total,
    (
        select coalesce(json_object_agg(by_type.name, by_type.nodes order by by_type.name), '{}')
        from by_type
    ) as types,
    (
        select coalesce(
            json_object_agg(to_char(by_day.date, 'YYYY-MM-DD'), by_day.nodes order by by_day.date),
            '{}'
        )
        from by_day
    ) as ctime_by_day
