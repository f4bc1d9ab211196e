-- name: set_plan_cache_mode
-- purpose: Say until the end of the transaction when statements with parameters are planned again.
--     The server checks by such statements whether anything refers to a deleted node. As a few
--     nodes have very many links, it would plan the one about links again for each node, which
--     takes longer than all checks of the node
-- parameters: $1 mode text: auto, force_generic_plan or force_custom_plan
-- result: before text, now text; one row, none where the server is older than PostgreSQL 12
select
    setting.setting as before,
    set_config(setting.name, $1::text, true) as now
from pg_settings as setting
where setting.name = 'plan_cache_mode'
