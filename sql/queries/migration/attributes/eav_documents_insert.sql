-- name: eav_documents_insert
-- purpose: Gives nodes of the set at hand documents that were made in Python
-- parameters: $1 nodes int[]: the nodes
--     $2 extras bool[]: of each, whether the document is its extras
--     $3 documents text[]: of each, the document as JSON
-- step: django_0037
-- result: none
insert into pg_temp.aiidadb_document_set (place, node, extra, document)
select
    odd.place,
    odd.node,
    odd.extra,
    made.document::jsonb
from unnest($1::int[], $2::bool[], $3::text[]) as made (node, extra, document)
inner join pg_temp.aiidadb_document_set as odd
    on odd.node = made.node
    and odd.extra = made.extra
    and odd.document is null
