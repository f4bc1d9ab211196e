-- name: active_processes
-- purpose: Which processes are active. AiiDA has no index on states; but what was not active at an
--     earlier look is so now only if it is new or has changed since. What a transaction changes is
--     as old as that, and seen from its end on: so the look to go by is one before all that were
--     open at the last one
-- parameters: $1 known text: the nodes that were active then, as the text of an array; null for a
--         look at all processes
--     $2 highest bigint: the highest pk at the look to go by
--     $3 changed_since timestamptz: a time before that look, which allows for clocks that are slow
-- result: pks bytea, highest bigint, changed_since timestamptz, oldest_open bigint,
--     next_to_begin bigint; one row: the nodes, ascending, four bytes each, the highest first, null
--     where there are none; what to give where this look is the one to go by; the number of the
--     oldest transaction that is open, and that of the next one to begin, the same where none is
select
    (
        select string_agg(int4send(node.id), ''::bytea order by node.id)
        from db_dbnode as node
        where node.node_type like 'process.%'
            -- As in the index on states, if there is one: see create_process_state_index.
            and left(node.attributes ->> 'process_state', 10) in ('created', 'running', 'waiting')
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
    statement_timestamp() - interval '1 hour' as changed_since,
    txid_snapshot_xmin(txid_current_snapshot()) as oldest_open,
    txid_snapshot_xmax(txid_current_snapshot()) as next_to_begin
