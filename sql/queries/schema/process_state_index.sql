-- name: process_state_index
-- purpose: The index on the states of processes, which AiiDA's schema does not have
-- parameters: none
-- result: name text, size bigint, valid bool; one row per index, whoever made it, those that can be
--     used first: its name, as SQL has it; its bytes; whether it can be used, which one that is
--     being created, or whose creation failed, cannot be; none for one that is dropped meanwhile
select
    found.name,
    found.size,
    found.valid
from (
    select
        index.indexrelid::regclass::text as name,
        -- Null if it has been dropped meanwhile, for which this waits.
        pg_relation_size(index.indexrelid) as size,
        index.indisvalid as valid
    from pg_index as index
    inner join pg_class as relation on relation.oid = index.indexrelid
    inner join pg_am as method on method.oid = relation.relam
    where index.indrelid = to_regclass('db_dbnode')
        -- Names are in quotes where they must be, or always: that is a setting.
        and replace(pg_get_expr(index.indexprs, index.indrelid), '"', '')
        = 'left((attributes ->> ''process_state''::text), 10)'
        and index.indkey[0] = 0
        and index.indpred is null
        -- Others do not find what is equal, or find more than that.
        and method.amname in ('btree', 'hash')
        and index.indcollation[0] = (
            select pg_type.typcollation
            from pg_type
            where pg_type.oid = 'text'::regtype
        )
    -- A fence: each is looked at once, not a second time after a wait.
    offset 0
) as found
where found.size is not null
order by
    found.valid desc,
    found.name asc
