-- name: long_level
-- purpose: Logs whose level 1de112340b16 cuts to 50 characters, and writes to a file before
-- parameters: none
-- schema: sqlalchemy_01_e15ef2630a1b, sqlalchemy_48_34a831f4286d
-- result: subject text, number bigint, pks bigint[], example text; one row where there are some
select
    'db_dblog' as subject,
    count(*) as number,
    (array_agg(log.id::bigint order by log.id))[:10] as pks,
    min(log.levelname)::text as example
from db_dblog as log
where length(log.levelname) > 50
having count(*) > 0
