-- name: missing_key
-- purpose: Authinfos, comments and memberships that lack one of the two rows that they connect,
--     which 1de112340b16 writes to a file and deletes
-- parameters: none
-- schema: sqlalchemy_01_e15ef2630a1b, sqlalchemy_48_34a831f4286d
-- result: subject text, number bigint, pks bigint[], example text; one row per table with some
with entry as (
    select
        'db_dbauthinfo' as subject,
        access.id
    from db_dbauthinfo as access
    where access.aiidauser_id is null
        or access.dbcomputer_id is null
    union all
    select
        'db_dbcomment' as subject,
        comment.id
    from db_dbcomment as comment
    where comment.dbnode_id is null
        or comment.user_id is null
    union all
    select
        'db_dbgroup_dbnodes' as subject,
        member.id
    from db_dbgroup_dbnodes as member
    where member.dbgroup_id is null
        or member.dbnode_id is null
)

select
    entry.subject,
    count(*) as number,
    (array_agg(entry.id::bigint order by entry.id))[:10] as pks,
    null::text as example
from entry
group by entry.subject
order by entry.subject
