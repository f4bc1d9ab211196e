-- name: group_label_clash
-- purpose: Groups that would get the label and the type string of another one when 0022
--     and 0044 rename the type strings (by today's names of the columns)
-- parameters: $1 with_0022 bool: whether 0022 will run
--     $2 with_0044 bool: whether 0044 will run
--     $3 with_core bool: whether groups without a type string will get `core`
-- schema: django_0021, django_0043,
--     sqlalchemy_18_b8b23ddefad4, sqlalchemy_48_34a831f4286d
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
        grouping.label,
        row_number() over (
            partition by
                grouping.label,
                coalesce(then_renamed.new, first_renamed.new, grouping.type_string, 'core')
            order by grouping.id
        ) as place
    from db_dbgroup as grouping
    left join first_renamed
        on first_renamed.old = grouping.type_string
        and $1::bool
    left join then_renamed
        on then_renamed.old = coalesce(first_renamed.new, grouping.type_string)
        and $2::bool
    where grouping.label is not null
        and (grouping.type_string is not null or $3::bool)
)

select
    'db_dbgroup' as subject,
    count(*) as number,
    array_agg(counted.id::bigint order by counted.id) as pks,
    min(counted.label) as example
from counted
where counted.place > 1
having count(*) > 0
