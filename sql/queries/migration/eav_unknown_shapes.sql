-- name: eav_unknown_shapes
-- purpose: The shapes of the set of nodes at hand for which there is no template; read by a cursor.
-- parameters: none
-- result: tokens text[], uses bigint, node integer (the first that has it), extra boolean (whether
--   they are that node's extras); one row a shape
select
  unknown.tokens,
  count(*) as uses,
  (min(array[unknown.node, unknown.extra::integer]))[1] as node,
  (min(array[unknown.node, unknown.extra::integer]))[2] = 1 as extra
from pg_temp.aiidadb_document_set as unknown
where unknown.document is null
group by unknown.tokens
