-- name: doubled_membership_check
-- purpose: Duplicate memberships of nodes in groups, which 7a6587e16f4c and
--     59edaf8a8b79 write to a file and delete; the first of each stays
-- parameters: none
-- schema: sqlalchemy_01_e15ef2630a1b, sqlalchemy_10_a514d673c163
-- result: subject text, number bigint, pks bigint[], example text; one row, or none
select
    'db_dbgroup_dbnodes' as subject,
    count(*) as number,
    (array_agg(member.id::bigint order by member.id))[:10] as pks,
    null::text as example
from db_dbgroup_dbnodes as member
where
    exists (
        select
        from db_dbgroup_dbnodes as first_one
        where first_one.dbnode_id = member.dbnode_id
            and first_one.dbgroup_id = member.dbgroup_id
            and first_one.id < member.id
    )
having count(*) > 0
