-- name: trajectory_symbols_update_json
-- purpose: Writes the attribute symbols, a list of texts, in place of one that is there, where
--     attributes are JSONB
-- parameters: $1 node_ids int[]: the nodes
--     $2 symbols text[]: the symbols of each, a JSON array of strings
-- schema: sqlalchemy_25_37f3d4882837
-- result: none
update db_dbnode as node
set
    attributes = jsonb_set(
        coalesce(nullif(node.attributes, 'null'), '{}'), '{symbols}', trajectory.symbols::jsonb
    )
from unnest($1::int[], $2::text[]) as trajectory (node_id, symbols)
where node.id = trajectory.node_id
