-- name: check_session
-- purpose: How the transaction of a check reads: the tables of one schema alone, with room for the
--     ids of all nodes, and without compiling, which takes longer than it saves
-- parameters: $1 schema_name text: the schema that holds AiiDA's tables
-- result: search_path text, work_mem text, jit text; one row
select
    set_config('search_path', quote_ident($1::text), true) as search_path,
    set_config('work_mem', '64MB', true) as work_mem,
    set_config('jit', 'off', true) as jit
