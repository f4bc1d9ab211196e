-- name: eav_documents_insert
-- purpose: Gives nodes of the set at hand documents that were made in Python.
-- parameters: $1 nodes integer[]: the nodes
--     $2 extras boolean[]: of each, whether the document is its extras
--     $3 documents text[]: of each, the document as JSON
-- result: none
insert into pg_temp.aiidadb_document_set (place, node, extra, document)
select
    odd.place,
    odd.node,
    odd.extra,
    made.document::jsonb
from unnest($1::integer[], $2::boolean[], $3::text[]) as made (node, extra, document)
inner join pg_temp.aiidadb_document_set as odd
    on odd.node = made.node
    and odd.extra = made.extra
    and odd.document is null
