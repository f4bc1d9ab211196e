-- name: eav_stray_rows
-- purpose: Rows of attributes and extras whose node is not there
-- parameters: none
-- step: django_0037
-- result: node int, extra bool; one row per node that is missing
select
    stray.node,
    stray.extra
from pg_temp.aiidadb_document as stray
where stray.place is null
    and stray.document is not null
order by stray.node, stray.extra
