-- name: duplicate_uuids
-- purpose: Which rows of a table share their UUID with another; none where AiiDA's constraint is
-- parameters: none
-- tables: db_dbcomment, db_dbcomputer, db_dbgroup, db_dblog, db_dbnode
-- schema: django_0017, django_0045, main_0002
-- result: pk bigint, uuid text; one row for each such row, those with the same UUID together. As
--     text, which the column is up to 1.0.17, where duplicates occur
select
    record.id::bigint as pk,
    record.uuid::text
from /*{table}*/ db_dbnode as record
where
    record.uuid in (
        select shared.uuid
        from /*{table}*/ db_dbnode as shared
        group by shared.uuid
        having count(*) > 1
    )
order by record.uuid, record.id
