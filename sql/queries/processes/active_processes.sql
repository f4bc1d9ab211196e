-- name: active_processes
-- purpose: Which processes are active. AiiDA has no index on states; but what was not active at an
--     earlier look is so now only if it is new or has changed since
-- parameters: $1 known text: the nodes that were active then, as the text of an array; null for a
--         look at all processes
--     $2 highest bigint: the highest pk then
--     $3 changed_since timestamptz: a time before that look, which allows for changes that are
--         committed late, and for clocks that are slow
-- result: pks bytea, highest bigint, changed_since timestamptz; one row: the nodes, ascending, four
--     bytes each, the highest first, null where there are none; and what to give next time
select
    (
        select string_agg(int4send(node.id), ''::bytea order by node.id)
        from db_dbnode as node
        where node.node_type like 'process.%'
            -- As in the index on states that the documentation offers, if there is one.
            and node.attributes ->> 'process_state' in ('created', 'running', 'waiting')
            and (
                $1::text is null
                or node.id = any($1::text::bigint[])
                or node.id > $2::bigint
                or node.mtime >= $3::timestamptz
            )
    ) as pks,
    (
        select coalesce(max(db_dbnode.id), 0)::bigint
        from db_dbnode
    ) as highest,
    statement_timestamp() - interval '1 hour' as changed_since
