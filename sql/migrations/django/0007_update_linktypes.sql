-- migration: django_0007
-- from: 1.0.6
-- to: 1.0.7
-- also: a6048f0ffca8
-- changes: Links from inline calculations to data, wrongly of type `returnlink`, become
--     `createlink`. Links without a type get the one that follows from the two nodes: `inputlink`,
--     `createlink`, `returnlink` or `calllink`.
-- why: Links made before they had types, or imported without, were left empty. (AiiDA 1.6.9's own
--     step writes 1.0.8 as the version, which is a mistake.)
-- sqlalchemy why: Links made before they had types, or imported without, were left empty, or null
--     where the column came later; AiiDA's own step is meant to fill these too, but skips them.
--     AiiDA 0.7 let two nodes have at most one link, and the labels of a node's incoming links
--     had to differ; both constraints go here, where there are any.
-- tables: db_dblink
-- rows: select count(*)
--     from db_dblink as link
--     join db_dbnode as source on source.id = link.input_id
--     join db_dbnode as target on target.id = link.output_id
--     where (
--             link.type = 'returnlink'
--             and source.type like 'calculation.inline.%'
--             and target.type like 'data.%'
--         )
--         or (
--             coalesce(link.type, '') = ''
--             and target.type like 'calculation.%'
--             and (
--                 source.type like 'data.%'
--                 or source.type in ('code.Code.', 'calculation.work.WorkCalculation.')
--             )
--         )
--         or (
--             coalesce(link.type, '') = ''
--             and target.type like 'data.%'
--             and (
--                 source.type like 'calculation.job.%'
--                 or source.type in (
--                     'calculation.inline.InlineCalculation.', 'calculation.work.WorkCalculation.'
--                 )
--             )
--         )

with retyped as (
    -- The kinds of node exclude each other, so that one pass does the work of AiiDA's six.
    select
        link.id,
        case
            when link.type = 'returnlink' then 'createlink'
            when target.type like 'calculation.%'
                and source.type = 'calculation.work.WorkCalculation.' then 'calllink'
            when target.type like 'calculation.%' then 'inputlink'
            when source.type = 'calculation.work.WorkCalculation.' then 'returnlink'
            else 'createlink'
        end as type
    from db_dblink as link
    inner join db_dbnode as source on source.id = link.input_id
    inner join db_dbnode as target on target.id = link.output_id
    where
        (
            link.type = 'returnlink'
            and source.type like 'calculation.inline.%'
            and target.type like 'data.%'
        )
        or (
            coalesce(link.type, '') = ''
            and target.type like 'calculation.%'
            and (
                source.type like 'data.%'
                or source.type in ('code.Code.', 'calculation.work.WorkCalculation.')
            )
        )
        or (
            coalesce(link.type, '') = ''
            and target.type like 'data.%'
            and (
                source.type like 'calculation.job.%'
                or source.type in (
                    'calculation.inline.InlineCalculation.', 'calculation.work.WorkCalculation.'
                )
            )
        )
)

update db_dblink as link
set type = retyped.type
from retyped
where link.id = retyped.id;

-- sqlalchemy alone:
-- A table cannot be altered while foreign keys of its changed rows wait to be checked.
set constraints all immediate;

select pg_temp.aiidadb_drop_unique('db_dblink', array['input_id', 'output_id']);
select pg_temp.aiidadb_drop_unique('db_dblink', array['output_id', 'label']);
