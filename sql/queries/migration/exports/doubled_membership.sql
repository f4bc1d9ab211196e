-- name: doubled_membership
-- purpose: The duplicate memberships of nodes in groups, as they are written to a
--     file before they are deleted; read by a cursor. The first of each stays
-- parameters: none
-- schema: sqlalchemy_05_35d4ee9a1b0e, sqlalchemy_10_a514d673c163
-- result: id int, dbnode_id int, dbgroup_id int, node_uuid text, group_uuid text,
--     group_name varchar; one row per membership that is deleted, by id
select
    member.id,
    member.dbnode_id,
    member.dbgroup_id,
    node.uuid::text as node_uuid,
    grouping.uuid::text as group_uuid,
    grouping.name as group_name
from db_dbgroup_dbnodes as member
left join db_dbnode as node on node.id = member.dbnode_id
left join db_dbgroup as grouping on grouping.id = member.dbgroup_id
where
    exists (
        select
        from db_dbgroup_dbnodes as first_one
        where first_one.dbnode_id = member.dbnode_id
            and first_one.dbgroup_id = member.dbgroup_id
            and first_one.id < member.id
    )
order by member.id
