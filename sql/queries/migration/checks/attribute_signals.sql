-- name: attribute_signals
-- purpose: Where rows of attributes and extras are not as 0037 needs them: in one pass, by sums
--     that come to nothing where all is in order; a closer look at a few nodes then explains them
-- parameters: none
-- schema: django_0001, django_0036
-- result: extra bool, block int, strays bigint, odd bigint, unsettled bool; one row per 256 ids of
--     nodes with something: how many rows have no node, how many have values that are none, and
--     whether there are rows without their list or dict, or beyond its length
with entry as (
    -- what is behind the last dot is a row's place in its list or dict
    select
        false as extra,
        dbnode_id,
        key,
        datatype,
        ival,
        fval,
        dval,
        strpos(reverse(key), '.') as dot
    from db_dbattribute
    union all
    select
        true as extra,
        dbnode_id,
        key,
        datatype,
        ival,
        fval,
        dval,
        strpos(reverse(key), '.') as dot
    from db_dbextra
),

weighed as (
    select
        entry.extra,
        entry.dbnode_id >> 8 as block,
        node.id is null as is_stray,
        case entry.datatype
            when 'txt' then false
            when 'int' then false
            when 'float' then entry.fval is null
            when 'list' then entry.ival is null
            when 'dict' then false
            when 'bool' then false
            when 'none' then false
            when 'date'
                then entry.dval < '0001-01-01 00:00:00+00'
                or entry.dval >= '10000-01-01 00:00:00+00'
            else true
        end as is_odd,
        -- Each item takes away what its list or dict gives, once for each that it says it has:
        -- where items and holders belong together, nothing is left. The items of a list tell
        -- their places too, which are 0 to its length less one, each written in one way: as many
        -- different numbers have no smaller sum. The ten million that go with each tell items of
        -- lists from others. Keys of dicts that are numbers disturb this; the closer look finds
        -- that nothing is wrong with them.
        case entry.datatype
            when 'list'
                then least(coalesce(entry.ival, 0), 1000000)::bigint
                * (least(coalesce(entry.ival, 0), 1000000) + 20000001) / 2
                * (hashtext(entry.key)::bigint + entry.dbnode_id & 65535 | 1)
            when 'dict'
                then least(coalesce(entry.ival, 0), 1000000)::bigint
                * (hashtext(entry.key)::bigint + entry.dbnode_id & 65535 | 1)
            else 0
        end
        - case
            when entry.dot = 0 then 0
            else (hashtext(left(entry.key, -entry.dot))::bigint + entry.dbnode_id & 65535 | 1)
                * case
                    when entry.dot = 1 then 1::bigint
                    when entry.dot = 2
                        then case strpos('0123456789', right(entry.key, 1))
                            when 0 then 1
                            else strpos('0123456789', right(entry.key, 1)) + 10000000
                        end
                    -- of nearly all that is no number, the first byte says so
                    when right(entry.key, entry.dot - 1) collate "C" < '0'  -- noqa: RF02
                        or right(entry.key, entry.dot - 1) collate "C" >= ':'  -- noqa: RF02
                        or translate(right(entry.key, entry.dot - 1), '0123456789', '') <> ''
                        then 1
                    -- 007, or more than a list has
                    when entry.dot > 10 or right(entry.key, entry.dot - 1) like '0%'
                        then 10000000000
                    else right(entry.key, entry.dot - 1)::bigint + 10000001
                end
        end as balance
    from entry
    left join db_dbnode as node on node.id = entry.dbnode_id
),

summed as (
    select
        weighed.extra,
        weighed.block,
        count(*) filter (where weighed.is_stray) as strays,
        count(*) filter (where weighed.is_odd) as odd,
        sum(weighed.balance) <> 0 as unsettled
    from weighed
    group by weighed.extra, weighed.block
)

select
    summed.extra,
    summed.block,
    summed.strays,
    summed.odd,
    summed.unsettled
from summed
where summed.strays > 0
    or summed.odd > 0
    or summed.unsettled
order by summed.extra, summed.block
