-- migration: sqlalchemy_20_7ca08c391c49
-- from: e72ad251bcdb
-- to: 7ca08c391c49
-- changes: Attributes of calculation jobs are renamed: `custom_environment_variables` to
--     `environment_variables`, `jobresource_params` to `resources`, `parser` to `parser_name`; and
--     of all processes `_process_label` to `process_label`. Where both are there, the old one stays
--     under the new name.
-- why: Attributes are called what the options of a process are. One statement where AiiDA has
--     eight, so that each node is written once; same outcome.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode
--     where (type like 'node.process.%' and attributes ? '_process_label')
--         or (
--             type = 'node.process.calculation.calcjob.CalcJobNode.'
--             and attributes ?| array[
--                 'custom_environment_variables', 'jobresource_params', 'parser'
--             ]
--         )

update db_dbnode as process
set
    -- What the attributes lose, and what they get.
    attributes = (
        select
            (process.attributes - array_agg(renamed.old_key))
            || jsonb_object_agg(renamed.new_key, process.attributes -> renamed.old_key)
        from (
            values
                ('custom_environment_variables', 'environment_variables', true),
                ('jobresource_params', 'resources', true),
                ('parser', 'parser_name', true),
                ('_process_label', 'process_label', false)
        ) as renamed (old_key, new_key, of_jobs)
        where process.attributes ? renamed.old_key
            and (
                process.type = 'node.process.calculation.calcjob.CalcJobNode.'
                or not renamed.of_jobs
            )
    )
where
    (process.type like 'node.process.%' and process.attributes ? '_process_label')
    or (
        process.type = 'node.process.calculation.calcjob.CalcJobNode.'
        and process.attributes ?| array[
            'custom_environment_variables', 'jobresource_params', 'parser'
        ]
    );
