-- name: eav_odd_nodes
-- purpose: The nodes of the set at hand that have rows that are not plain values; read by a cursor
-- parameters: none
-- step: django_0037
-- result: node int, extra bool, tokens text[], row_values text[]; one row per document. Of the
--     values, each is JSON; null for lists and dicts; `?`, datatype and text where it is not JSON
select
    odd.node,
    odd.extra,
    odd.tokens,
    array(
        -- where AiiDA 0.x kept JSON as text; this may fail row by row, so it is not done for all
        select
            case
                when kept.row_value like '?json %'
                    then coalesce(
                        pg_temp.aiidadb_jsonb(substr(kept.row_value, 7))::text, kept.row_value
                    )
                else kept.row_value
            end
        from unnest(odd.row_values) with ordinality as kept (row_value, position)
        order by kept.position
    ) as row_values
from pg_temp.aiidadb_document_set as odd
where odd.document is null
    and exists (
        select
        from unnest(odd.tokens) as token
        where token like '?%'
    )
