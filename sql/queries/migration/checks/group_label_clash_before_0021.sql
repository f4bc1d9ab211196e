-- name: group_label_clash_before_0021
-- purpose: Groups that would get the label and the type string of another one when 0022
--     and 0044 rename the type strings (before 0021 renames the columns)
-- parameters: $1 with_0022 bool: whether 0022 will run
--     $2 with_0044 bool: whether 0044 will run
--     $3 with_core bool: whether groups without a type string will get `core`
-- schema: django_0001, django_0020,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_17_239cea6d2452
-- result: subject text, number bigint, pks bigint[], example text; one row, or none. The ids are
--     all of those to rename: of each set that clashes, all but the oldest
with first_renamed (old, new) as (
    -- by 0022
    values
        ('', 'user'),
        ('data.upf.family', 'data.upf'),
        ('aiida.import', 'auto.import'),
        ('autogroup.run', 'auto.run')
),

then_renamed (old, new) as (
    -- by 0044
    values
        ('user', 'core'),
        ('data.upf', 'core.upf'),
        ('auto.import', 'core.import'),
        ('auto.run', 'core.auto')
),

counted as (
    select
        grouping.id,
        grouping.name,
        row_number() over (
            partition by
                grouping.name,
                coalesce(then_renamed.new, first_renamed.new, grouping.type, 'core')
            order by grouping.id
        ) as place
    from db_dbgroup as grouping
    left join first_renamed
        on first_renamed.old = grouping.type
        and $1::bool
    left join then_renamed
        on then_renamed.old = coalesce(first_renamed.new, grouping.type)
        and $2::bool
    where grouping.name is not null
        and (grouping.type is not null or $3::bool)
)

select
    'db_dbgroup' as subject,
    count(*) as number,
    array_agg(counted.id::bigint order by counted.id) as pks,
    min(counted.name) as example
from counted
where counted.place > 1
having count(*) > 0
