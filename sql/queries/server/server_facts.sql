-- name: server_facts
-- purpose: The basic facts about a database
-- parameters: none
-- result: server text, size text, read_only bool; one row
select
    current_setting('server_version') as server,
    pg_size_pretty(pg_database_size(current_database())) as size,
    pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool as read_only
