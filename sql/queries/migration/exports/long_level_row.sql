-- name: long_level_row
-- purpose: The logs whose level step 1de112340b16 cuts, as they are written to a file; read by a
--     cursor
-- parameters: none
-- schema: sqlalchemy_48_34a831f4286d
-- result: subject text, reason text, content text; one row per row, with its columns as JSON
select
    'db_dblog' as subject,
    'long_level' as reason,
    to_jsonb(log)::text as content
from db_dblog as log
where length(log.levelname) > 50
order by log.id
