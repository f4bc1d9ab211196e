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

with renamed (old_key, new_key, of_jobs) as (
    values
        ('custom_environment_variables', 'environment_variables', true),
        ('jobresource_params', 'resources', true),
        ('parser', 'parser_name', true),
        ('_process_label', 'process_label', false)
),

-- What a node's attributes lose, and what they get.
changed as (
    select
        process.id,
        array_agg(renamed.old_key) as old_keys,
        jsonb_object_agg(renamed.new_key, process.attributes -> renamed.old_key) as new_attributes
    from db_dbnode as process
    inner join renamed on process.attributes ? renamed.old_key
    where process.type = 'node.process.calculation.calcjob.CalcJobNode.'
        or (process.type like 'node.process.%' and not renamed.of_jobs)
    group by process.id
)

update db_dbnode as process
set attributes = (process.attributes - changed.old_keys) || changed.new_attributes
from changed
where process.id = changed.id;
