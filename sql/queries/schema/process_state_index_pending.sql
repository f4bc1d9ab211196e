-- name: process_state_index_pending
-- purpose: Whether an index on nodes that cannot be used yet is about to become usable: whoever
--     creates one concurrently releases the table before the commit that makes it so
-- parameters: none
-- result: pending bool; one row
select exists(
    select
    from pg_index as index
    -- A transaction that is under way holds a lock on its own number.
    inner join pg_locks as held on held.transactionid = index.xmax
    where index.indrelid = to_regclass('db_dbnode')
        and not index.indisvalid
        and held.locktype = 'transactionid'
        and held.granted
) as pending
