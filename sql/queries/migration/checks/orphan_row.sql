-- name: orphan_row
-- purpose: Links, memberships, comments and authinfos that lead to nodes, groups, users or
--     computers that are gone, which 0050 writes to a file and deletes
-- parameters: none
-- schema: django_0001, django_0049,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_50_1de112340b17
-- result: subject text, number bigint, pks bigint[], example text; one row per table with some
with reference as (
    -- All that name a node, so that the nodes are looked up in one pass. What lacks one of its two
    -- ends is another finding: missing_value or missing_key.
    select
        'db_dblink' as subject,
        link.id,
        link.input_id as node_id
    from db_dblink as link
    where link.input_id is not null
        and link.output_id is not null
    union all
    select
        'db_dblink' as subject,
        link.id,
        link.output_id as node_id
    from db_dblink as link
    where link.input_id is not null
        and link.output_id is not null
    union all
    select
        'db_dbgroup_dbnodes' as subject,
        member.id,
        member.dbnode_id as node_id
    from db_dbgroup_dbnodes as member
    where member.dbnode_id is not null
        and member.dbgroup_id is not null
    union all
    select
        'db_dbcomment' as subject,
        comment.id,
        comment.dbnode_id as node_id
    from db_dbcomment as comment
    where comment.dbnode_id is not null
        and comment.user_id is not null
),

entry as (
    -- a link can be here twice
    select
        reference.subject,
        reference.id
    from reference
    where not exists (
            select from db_dbnode as node
            where node.id = reference.node_id
        )
    union all
    select
        'db_dbgroup_dbnodes' as subject,
        member.id
    from db_dbgroup_dbnodes as member
    where member.dbnode_id is not null
        and member.dbgroup_id is not null
        and not exists (
            select from db_dbgroup as grouping
            where grouping.id = member.dbgroup_id
        )
    union all
    select
        'db_dbauthinfo' as subject,
        access.id
    from db_dbauthinfo as access
    left join db_dbuser as owner on owner.id = access.aiidauser_id
    left join db_dbcomputer as computer on computer.id = access.dbcomputer_id
    where access.aiidauser_id is not null
        and access.dbcomputer_id is not null
        and (
            owner.id is null
            or computer.id is null
        )
)

select
    entry.subject,
    count(distinct entry.id) as number,
    (array_agg(distinct entry.id::bigint order by entry.id::bigint))[:10] as pks,
    null::text as example
from entry
group by entry.subject
order by entry.subject
