-- name: unindexed_references_to_nodes
-- purpose: Which columns refer to nodes without an index that begins with them: each node deleted
--     costs a scan of such a table
-- parameters: none
-- result: reference text; one row per column, as table.column; none in a healthy database
select format('%s.%s', fk.conrelid::regclass, attribute.attname) as reference
from pg_constraint as fk
inner join pg_attribute as attribute
    on attribute.attrelid = fk.conrelid
    and attribute.attnum = fk.conkey[1]
where fk.contype = 'f'
    and fk.confrelid = 'db_dbnode'::regclass
    and not exists (
        select
        from pg_index as index
        where index.indrelid = fk.conrelid
            and index.indkey[0] = fk.conkey[1]
            and index.indpred is null
            and index.indisvalid
    )
order by 1
