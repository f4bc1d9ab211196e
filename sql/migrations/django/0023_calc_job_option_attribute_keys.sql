-- migration: django_0023
-- from: 1.0.22
-- to: 1.0.23
-- changes: Attributes of calculation jobs are renamed: `custom_environment_variables` to
--     `environment_variables`, `jobresource_params` to `resources` (both with all that is in them),
--     `parser` to `parser_name`; and of all processes `_process_label` to `process_label`.
-- why: Attributes are called what the options of a process are. AiiDA's step fails where a node has
--     both the old and the new key; here both stay.
-- tables: db_dbattribute
-- rows: select count(*)
--     from db_dbattribute as attribute,
--         db_dbnode as node,
--         (
--             values
--                 ('custom_environment_variables', 'environment_variables', true, true),
--                 ('jobresource_params', 'resources', true, true),
--                 ('parser', 'parser_name', true, false),
--                 ('_process_label', 'process_label', false, false)
--         ) as renamed (old_key, new_key, of_jobs, with_items)
--     where node.id = attribute.dbnode_id
--       and (
--           attribute.key in (
--               'custom_environment_variables', 'jobresource_params', 'parser', '_process_label'
--           )
--           or attribute.key like 'custom\_environment\_variables.%'
--           or attribute.key like 'jobresource\_params.%'
--       )
--       and (
--           attribute.key = renamed.old_key
--           or (renamed.with_items and starts_with(attribute.key, renamed.old_key || '.'))
--       )
--       and (
--           node.type = 'node.process.calculation.calcjob.CalcJobNode.'
--           or (not renamed.of_jobs and node.type like 'node.process.%')
--       )
--       and not exists (
--           select
--           from db_dbattribute as taken
--           where taken.dbnode_id = node.id
--             and taken.key = renamed.new_key
--       )

update db_dbattribute as attribute
set key = renamed.new_key || substr(attribute.key, length(renamed.old_key) + 1)
from db_dbnode as node
cross join
    (
        values
            ('custom_environment_variables', 'environment_variables', true, true),
            ('jobresource_params', 'resources', true, true),
            ('parser', 'parser_name', true, false),
            ('_process_label', 'process_label', false, false)
    ) as renamed (old_key, new_key, of_jobs, with_items)
where node.id = attribute.dbnode_id
    -- Written out, so that the indexes on the key are used.
    and (
        attribute.key in (
            'custom_environment_variables', 'jobresource_params', 'parser', '_process_label'
        )
        or attribute.key like 'custom\_environment\_variables.%'
        or attribute.key like 'jobresource\_params.%'
    )
    and (
        attribute.key = renamed.old_key
        or (renamed.with_items and starts_with(attribute.key, renamed.old_key || '.'))
    )
    and (
        node.type = 'node.process.calculation.calcjob.CalcJobNode.'
        or (not renamed.of_jobs and node.type like 'node.process.%')
    )
    and not exists (
        select
        from db_dbattribute as taken
        where taken.dbnode_id = node.id
            and taken.key = renamed.new_key
    );
