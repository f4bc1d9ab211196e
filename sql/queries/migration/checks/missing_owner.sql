-- name: missing_owner
-- purpose: Nodes whose user or computer is gone, and groups and comments whose user is gone: 0050
--     recreates their foreign keys
-- parameters: none
-- schema: django_0001, django_0049,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_50_1de112340b17
-- result: subject text, number bigint, pks bigint[], example text; one row per column with some;
--     the example is the id that leads nowhere
with entry as (
    select
        'db_dbnode.user_id' as subject,
        node.id,
        node.user_id as named
    from db_dbnode as node
    where not exists (
            select from db_dbuser as owner
            where owner.id = node.user_id
        )
    union all
    select
        'db_dbnode.dbcomputer_id' as subject,
        node.id,
        node.dbcomputer_id as named
    from db_dbnode as node
    where node.dbcomputer_id is not null
        and not exists (
            select
            from db_dbcomputer as computer
            where computer.id = node.dbcomputer_id
        )
    union all
    select
        'db_dbgroup.user_id' as subject,
        grouping.id,
        grouping.user_id as named
    from db_dbgroup as grouping
    where grouping.user_id is not null
        and not exists (
            select from db_dbuser as owner
            where owner.id = grouping.user_id
        )
    union all
    -- A comment of a node that is gone leaves with it.
    select
        'db_dbcomment.user_id' as subject,
        comment.id,
        comment.user_id as named
    from db_dbcomment as comment
    where comment.user_id is not null
        and not exists (
            select from db_dbuser as owner
            where owner.id = comment.user_id
        )
        and exists (
            select from db_dbnode as node
            where node.id = comment.dbnode_id
        )
)

select
    entry.subject,
    count(*) as number,
    (array_agg(entry.id::bigint order by entry.id))[:10] as pks,
    min(entry.named)::text as example
from entry
group by entry.subject
order by entry.subject
