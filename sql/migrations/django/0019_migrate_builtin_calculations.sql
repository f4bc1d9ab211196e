-- migration: django_0019
-- from: 1.0.18
-- to: 1.0.19
-- also: 140c971ae0a3
-- changes: AiiDA's own calculation plugins `simpleplugins.arithmetic.add` and
--     `simpleplugins.templatereplacer` lose the `simpleplugins.` in the type and process type of
--     their nodes, and in the attribute `input_plugin` of codes.
-- why: The plugins moved, and their entry points were renamed.
-- tables: db_dbattribute, db_dbnode
-- sqlalchemy tables: db_dbnode
-- rows: select
--         (
--             select count(*)
--             from db_dbnode
--             where type in (
--                     'calculation.job.simpleplugins.arithmetic.add.ArithmeticAddCalculation.',
--                     'calculation.job.simpleplugins.templatereplacer.TemplatereplacerCalculation.'
--                 )
--                or process_type in (
--                     'aiida.calculations:simpleplugins.arithmetic.add',
--                     'aiida.calculations:simpleplugins.templatereplacer'
--                 )
--         )
--         + (
--             select count(*)
--             from db_dbattribute as attribute
--             join db_dbnode as code on code.id = attribute.dbnode_id
--             where code.type = 'data.code.Code.'
--               and attribute.key = 'input_plugin'
--               and attribute.tval in (
--                   'simpleplugins.arithmetic.add', 'simpleplugins.templatereplacer'
--               )
--         )
-- sqlalchemy rows: select count(*) from db_dbnode
--     where type in (
--             'calculation.job.simpleplugins.arithmetic.add.ArithmeticAddCalculation.',
--             'calculation.job.simpleplugins.templatereplacer.TemplatereplacerCalculation.'
--         )
--         or process_type in (
--             'aiida.calculations:simpleplugins.arithmetic.add',
--             'aiida.calculations:simpleplugins.templatereplacer'
--         )
--         or (
--             type = 'data.code.Code.'
--             and attributes -> 'input_plugin' in (
--                 '"simpleplugins.arithmetic.add"', '"simpleplugins.templatereplacer"'
--             )
--         )

update db_dbnode
set type = replace(type, '.simpleplugins.', '.')
where
    type in (
        'calculation.job.simpleplugins.arithmetic.add.ArithmeticAddCalculation.',
        'calculation.job.simpleplugins.templatereplacer.TemplatereplacerCalculation.'
    );

update db_dbnode
set process_type = replace(process_type, ':simpleplugins.', ':')
where
    process_type in (
        'aiida.calculations:simpleplugins.arithmetic.add',
        'aiida.calculations:simpleplugins.templatereplacer'
    );

-- django alone:
update db_dbattribute as attribute
set tval = replace(attribute.tval, 'simpleplugins.', '')
from db_dbnode as code
where code.id = attribute.dbnode_id
    and code.type = 'data.code.Code.'
    and attribute.key = 'input_plugin'
    and attribute.tval in ('simpleplugins.arithmetic.add', 'simpleplugins.templatereplacer');

-- sqlalchemy alone:
update db_dbnode
set
    attributes = attributes || jsonb_build_object(
        'input_plugin', replace(attributes ->> 'input_plugin', 'simpleplugins.', '')
    )
where type = 'data.code.Code.'
    and attributes -> 'input_plugin' in (
        '"simpleplugins.arithmetic.add"', '"simpleplugins.templatereplacer"'
    );
