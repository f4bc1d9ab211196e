-- name: eav_unknown_shapes
-- purpose: The shapes of the set of nodes at hand for which there is no template; read by a cursor
-- parameters: none
-- step: django_0037
-- result: tokens text[], uses bigint, bearer bigint; one row per shape. The bearer is twice the id
--     of the first node that has it, and one more for its extras
select
    unknown.tokens,
    count(*) as uses,
    min(unknown.node::bigint * 2 + unknown.extra::int) as bearer
from pg_temp.aiidadb_document_set as unknown
where unknown.document is null
group by unknown.tokens
