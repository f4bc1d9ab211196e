-- name: trajectory_symbols_delete
-- purpose: Makes room for the attribute symbols of nodes that have one already, as AiiDA does where
--     it sets an attribute (EAV rows, before step 0037)
-- parameters: $1 node_ids int[]: the nodes
-- schema: django_0025
-- result: none
delete from db_dbattribute as attribute
using unnest($1::int[]) as trajectory (node_id)
where attribute.dbnode_id = trajectory.node_id
    and (attribute.key = 'symbols' or attribute.key like 'symbols.%')
