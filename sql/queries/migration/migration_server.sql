-- name: migration_server
-- purpose: What must be known of the server, the session and the role before a database is migrated
-- parameters: none
-- result: backend_pid integer (the server process that answers), read_only boolean,
--     may_make_temporary boolean, may_create boolean (in the schema public), role text, database
--     text; one row
select
    pg_backend_pid() as backend_pid,
    current_setting('transaction_read_only')::boolean as read_only,
    has_database_privilege(current_database(), 'temporary') as may_make_temporary,
    has_schema_privilege('public', 'create') as may_create,
    current_user::text as role,
    current_database()::text as database
