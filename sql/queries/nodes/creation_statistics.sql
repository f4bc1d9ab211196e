-- name: creation_statistics
-- purpose: How many nodes there are, of which types, and created on which days
-- parameters: $1 user_pk bigint: count this user's nodes, null for everybody's
--     $2 timezone text: the time zone in which a day is a day
--     $3 by_index bool: count everybody's nodes from two indexes, not by a scan of the table;
--         several times faster where the table has been vacuumed since it was filled
-- result: total bigint, types json, ctime_by_day json; one row: the numbers by node type, and by
--     day as YYYY-MM-DD in ascending order
with recursive day (date, first, beyond) as (
    -- The days that have nodes, by leaps over the index from a day's first node to the first one
    -- after its end: converting the time of every node to a day costs more than reading it.
    select
        null::date,
        null::timestamptz,
        '-infinity'::timestamptz
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
        where db_dbnode.ctime >= day.beyond
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
            (db_dbnode.ctime at time zone $2::text)::date as date
        from db_dbnode
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
    (select coalesce(sum(by_type.nodes), 0)::bigint from by_type) as total,
    (
        select coalesce(json_object_agg(by_type.name, by_type.nodes order by by_type.name), '{}')
        from by_type
    ) as types,
    (
        select
            coalesce(
                json_object_agg(
                    to_char(by_day.date, 'YYYY-MM-DD'), by_day.nodes order by by_day.date
                ),
                '{}'
            )
        from by_day
    ) as ctime_by_day
