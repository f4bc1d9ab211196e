-- name: delete_logs
-- purpose: Delete all logs of nodes; in the django line nothing cascades
-- parameters: $1 pks bigint[]: the nodes, locked already
-- result: number bigint; one row: how many logs were deleted
with deleted as (
    delete from db_dblog as one
    using unnest($1::bigint[]) as asked (pk)
    where one.dbnode_id = asked.pk
    returning one.id
)

select count(*) as number
from deleted
