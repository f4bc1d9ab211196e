-- name: doubled_membership_delete
-- purpose: Deletes the duplicate memberships of nodes in groups; the first of each
--     stays
-- parameters: none
-- schema: sqlalchemy_05_35d4ee9a1b0e, sqlalchemy_10_a514d673c163
-- result: none
delete from db_dbgroup_dbnodes as member
using db_dbgroup_dbnodes as first_one
where first_one.dbnode_id = member.dbnode_id
    and first_one.dbgroup_id = member.dbgroup_id
    and first_one.id < member.id
