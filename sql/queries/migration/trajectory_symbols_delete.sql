-- name: trajectory_symbols_delete
-- purpose: Makes room for the attribute symbols of nodes that have one already, as AiiDA does where
--     it sets an attribute (EAV rows, before step 0037).
-- parameters: $1 node_ids integer[]: the nodes
-- result: none
delete from db_dbattribute as attribute
using unnest($1::integer[]) as trajectory (node_id)
where attribute.dbnode_id = trajectory.node_id
    and (attribute.key = 'symbols' or attribute.key like 'symbols.%')
