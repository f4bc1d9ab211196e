-- name: doubled_membership_count
-- purpose: How many memberships of nodes in groups are duplicates, except for the first of each
-- parameters: none
-- schema: sqlalchemy_05_35d4ee9a1b0e, sqlalchemy_10_a514d673c163
-- result: number bigint; one row
select coalesce(sum(counted.members - 1), 0)::bigint as number
from (
    select count(*) as members
    from db_dbgroup_dbnodes as member
    where member.dbnode_id is not null
        and member.dbgroup_id is not null
    group by member.dbnode_id, member.dbgroup_id
    having count(*) > 1
) as counted
