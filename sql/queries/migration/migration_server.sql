-- name: migration_server
-- purpose: What must be known of the server, the session and the role before a database is migrated
-- parameters: $1 schema_name text: the schema that holds AiiDA's tables, or will
-- result: backend_pid int, read_only bool, may_make_temporary bool, may_create bool, role text,
--     database text, schema text; one row: the server process that answers, and what the role may
--     do; to create is meant in that schema, which is given back as it is written in SQL
select
    pg_backend_pid() as backend_pid,
    current_setting('transaction_read_only')::bool as read_only,
    has_database_privilege(current_database(), 'temporary') as may_make_temporary,
    has_schema_privilege($1::text, 'create') as may_create,
    current_user::text as role,
    current_database()::text as database,
    quote_ident($1::text) as schema
