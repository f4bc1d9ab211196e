-- name: orphan_row
-- purpose: Links, memberships, comments and authinfos that lead to nodes, groups, users or
--     computers that are gone, which 0050 writes to a file and deletes
-- parameters: none
-- schema: django_0001, django_0049,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_50_1de112340b17
-- result: subject text, number bigint, pks bigint[], example text; one row per table with some
with entry as (
    select
        'db_dblink' as subject,
        link.id
    from db_dblink as link
    left join db_dbnode as source on source.id = link.input_id
    left join db_dbnode as target on target.id = link.output_id
    -- One without an end at all is refused, as missing_value.
    where num_nulls(link.input_id, link.output_id) = 0
        and (
            source.id is null
            or target.id is null
        )
    union all
    select
        'db_dbgroup_dbnodes' as subject,
        member.id
    from db_dbgroup_dbnodes as member
    left join db_dbnode as node on node.id = member.dbnode_id
    left join db_dbgroup as grouping on grouping.id = member.dbgroup_id
    where num_nulls(member.dbnode_id, member.dbgroup_id) = 0
        and (
            node.id is null
            or grouping.id is null
        )
    union all
    select
        'db_dbcomment' as subject,
        comment.id
    from db_dbcomment as comment
    where num_nulls(comment.dbnode_id, comment.user_id) = 0
        and not exists (
            select from db_dbnode as node
            where node.id = comment.dbnode_id
        )
    union all
    select
        'db_dbauthinfo' as subject,
        access.id
    from db_dbauthinfo as access
    left join db_dbuser as owner on owner.id = access.aiidauser_id
    left join db_dbcomputer as computer on computer.id = access.dbcomputer_id
    where num_nulls(access.aiidauser_id, access.dbcomputer_id) = 0
        and (
            owner.id is null
            or computer.id is null
        )
)

select
    entry.subject,
    count(*) as number,
    (array_agg(entry.id::bigint order by entry.id))[:10] as pks,
    null::text as example
from entry
group by entry.subject
order by entry.subject
