-- name: creation_statistics
-- purpose: How many nodes there are, of which types, and created on which days
-- parameters: $1 user_pk bigint: count this user's nodes, null for those of all users
--     $2 timezone text: the time zone in which days begin and end
--     $3 by_index bool: count the nodes of all users from two indexes, not by a scan of the table;
--         several times faster where the table has been vacuumed since it was filled
-- result: total bigint, types json, ctime_by_day json; one row: the numbers by node type, and by
--     day in ascending order: as -infinity, 0044-03-15 BC, 2024-05-17, 12026-01-01, infinity
with recursive usual (first, beyond) as not materialized (
    -- The times whose day begins and ends in every time zone. Those that are infinite, and those of
    -- the first and last days that the server can hold, are counted by days of UTC. (Materialized,
    -- this would keep the scan in one process.)
    select
        '4714-11-25 00:00:00+00 BC'::timestamptz,
        '294276-12-30 00:00:00+00'::timestamptz
),

day (date, first, beyond) as (
    -- The days that have nodes, by leaps over the index from a day's first node to the first one
    -- after its end: converting the time of every node to a day costs more than reading it.
    select
        null::date,
        null::timestamptz,
        usual.first
    from usual
    where $3::bool

    union all

    select
        local.date,
        node.ctime,
        case
            -- Where clocks go back from just after midnight, the day ends and comes again; the turn
            -- is at a whole second, whichever it is.
            when local.date::timestamp at time zone $2::text > node.ctime
                then date_trunc('second', node.ctime) + interval '1 second'
            -- Where clocks go back over midnight, it comes twice, and the server means the second.
            when shift.back > interval '0'
                and ((midnight.time - shift.back) at time zone $2::text)::date > local.date
                then midnight.time - shift.back
            else midnight.time
        end
    from day
    inner join lateral (
        select db_dbnode.ctime
        from db_dbnode
        cross join usual
        where db_dbnode.ctime >= day.beyond
            and db_dbnode.ctime < usual.beyond
        order by db_dbnode.ctime
        limit 1
    ) as node on true
    inner join lateral (
        select (node.ctime at time zone $2::text)::date as date
    ) as local on true
    inner join lateral (
        select (local.date + 1)::timestamp at time zone $2::text as time
    ) as midnight on true
    inner join lateral (
        select
            (node.ctime at time zone $2::text - node.ctime at time zone 'UTC')
            - (midnight.time at time zone $2::text - midnight.time at time zone 'UTC')
                as back
    ) as shift on true
),

type (name) as (
    -- The node types, by leaps over their index.
    select min(db_dbnode.node_type)
    from db_dbnode
    where $3::bool

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
        null,
        (db_dbnode.ctime at time zone 'UTC')::date,
        count(*)
    from db_dbnode
    cross join usual
    where $3::bool
        and db_dbnode.ctime < usual.first
    group by (db_dbnode.ctime at time zone 'UTC')::date

    union all

    select
        null,
        (db_dbnode.ctime at time zone 'UTC')::date,
        count(*)
    from db_dbnode
    cross join usual
    where $3::bool
        and db_dbnode.ctime >= usual.beyond
    group by (db_dbnode.ctime at time zone 'UTC')::date

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

    -- The scan.
    select
        scanned.node_type,
        scanned.date,
        count(*)
    from (
        select
            db_dbnode.node_type,
            case
                when db_dbnode.ctime >= usual.first and db_dbnode.ctime < usual.beyond
                    then (db_dbnode.ctime at time zone $2::text)::date
                else (db_dbnode.ctime at time zone 'UTC')::date
            end as date
        from db_dbnode
        cross join usual
        where not $3::bool
            and ($1::bigint is null or db_dbnode.user_id = $1::bigint)

        union all

        -- Nothing. Without it the planner expects as many days as there are times, and lets one
        -- process do it all, because several would each have all those groups.
        select
            db_dbnode.node_type,
            null
        from db_dbnode
        where db_dbnode.id < 0
    ) as scanned
    group by
        scanned.node_type,
        scanned.date
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
    (select coalesce(sum(by_type.nodes), 0)::bigint from by_type)
    -- In the sqlalchemy line a node may have no type.
    + (
        select count(*)
        from db_dbnode
        where db_dbnode.node_type is null
            and ($1::bigint is null or db_dbnode.user_id = $1::bigint)
    ) as total,
    (
        select coalesce(json_object_agg(by_type.name, by_type.nodes order by by_type.name), '{}')
        from by_type
    ) as types,
    (
        select
            coalesce(
                json_object_agg(
                    to_json(by_day.date) #>> '{}', by_day.nodes order by by_day.date
                ),
                '{}'
            )
        from by_day
    ) as ctime_by_day
