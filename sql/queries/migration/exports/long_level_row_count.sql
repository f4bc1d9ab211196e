-- name: long_level_row_count
-- purpose: How many logs step 1de112340b16 cuts the level of
-- parameters: none
-- schema: sqlalchemy_48_34a831f4286d
-- result: number bigint; one row
select count(*) as number
from db_dblog as log
where length(log.levelname) > 50
