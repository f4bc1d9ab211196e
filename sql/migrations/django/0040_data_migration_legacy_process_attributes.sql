-- migration: django_0040
-- from: 1.0.39
-- to: 1.0.40
-- also: e734dd5e50d7
-- changes: On process nodes the attribute `_sealed` becomes `sealed`; `_finished`, `_failed`,
--     `_aborted` and `_do_abort` are removed; processes with a `process_state` other than those of
--     an active process are sealed.
-- why: These are marks of AiiDA 0.x. A process of 1.0 is `sealed` once it is over, and has one
--     `process_state` for all the rest. One statement where AiiDA has seven, so that each node is
--     written once; same outcome.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode
--     where node_type like 'process.%'
--     and (
--         attributes ?| array['_sealed', '_finished', '_failed', '_aborted', '_do_abort']
--         or (
--             not attributes ? 'sealed'
--             and attributes ->> 'process_state' not in ('created', 'running', 'waiting')
--         )
--     )

update db_dbnode as process
set
    attributes = (
        process.attributes - array['_sealed', '_finished', '_failed', '_aborted', '_do_abort']
    ) || case
        -- The old mark wins over a new one, should there be both.
        when process.attributes ? '_sealed'
            then jsonb_build_object('sealed', process.attributes -> '_sealed')
        when
            not process.attributes ? 'sealed'
            and process.attributes ->> 'process_state' not in ('created', 'running', 'waiting')
            then '{"sealed": true}'
        else '{}'
    end
where process.node_type like 'process.%'
    and (
        process.attributes ?| array['_sealed', '_finished', '_failed', '_aborted', '_do_abort']
        or (
            not process.attributes ? 'sealed'
            -- Unknown, not true, where there is no state at all: 0041 sees to those.
            and process.attributes ->> 'process_state' not in ('created', 'running', 'waiting')
        )
    );
