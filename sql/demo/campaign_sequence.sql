-- name: campaign_sequence
-- purpose: Let the next node get a pk beyond those of a generated campaign
-- parameters: $1 last_pk bigint: the highest that was given
-- result: setval bigint; one row
select setval(pg_get_serial_sequence('db_dbnode', 'id'), $1::bigint)
