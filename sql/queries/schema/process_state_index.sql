-- name: process_state_index
-- purpose: The index on the states of processes, which AiiDA's schema does not have
-- parameters: none
-- result: name text, size bigint, valid bool; one row per index, whoever made it, those that can be
--     used first: its name, as SQL has it; its bytes; whether it can be used, which one that is
--     being created, or whose creation failed, cannot be
select
    index.indexrelid::regclass::text as name,
    pg_relation_size(index.indexrelid) as size,
    index.indisvalid as valid
from pg_index as index
where index.indrelid = to_regclass('db_dbnode')
    and pg_get_expr(index.indexprs, index.indrelid)
    = '"left"((attributes ->> ''process_state''::text), 10)'
    and index.indkey[0] = 0
    and index.indpred is null
order by
    index.indisvalid desc,
    index.indexrelid::regclass::text
