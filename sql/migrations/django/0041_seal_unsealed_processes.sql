-- migration: django_0041
-- from: 1.0.40
-- to: 1.0.41
-- also: 7b38a9e783e7
-- changes: Processes without a `process_state` that are not sealed are sealed.
-- why: The step before means to seal every process that is over, but skips those that have no
--     state, such as inline calculations of AiiDA 0.x. A state that is there and null counts as
--     unknown, and such a process is left unsealed, as AiiDA leaves it. Where the attributes are
--     JSON's null, at which AiiDA's step fails, they are treated as empty.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode
--     where node_type like 'process.%'
--     and not attributes ? 'sealed'
--     and not (
--         attributes ? 'process_state'
--         and attributes ->> 'process_state' in ('created', 'running', 'waiting')
--     )

update db_dbnode as process
set attributes = coalesce(nullif(process.attributes, 'null'), '{}') || '{"sealed": true}'
where process.node_type like 'process.%'
    and not process.attributes ? 'sealed'
    and not (
        process.attributes ? 'process_state'
        and process.attributes ->> 'process_state' in ('created', 'running', 'waiting')
    );
