-- name: duplicate_uuids
-- purpose: Which rows of a table share their UUID with another, in whatever spelling (capitals,
--     dashes, braces); none where AiiDA's constraint is
-- parameters: none
-- tables: db_dbcomment, db_dbcomputer, db_dbgroup, db_dblog, db_dbnode
-- schema: django_0017, django_0045, main_0002
-- result: pk bigint, uuid text; one row for each such row, those with the same UUID together. As
--     text, which the column is up to 1.0.17, where duplicates occur
with spelled as (
    -- as PostgreSQL and Python read them
    select
        record.id,
        record.uuid::text as uuid,
        lower(translate(record.uuid::text, '-{}', '')) as digits
    from /*{table}*/ db_dbnode as record
)

select
    spelled.id::bigint as pk,
    spelled.uuid
from spelled
where
    spelled.digits in (
        select shared.digits
        from spelled as shared
        group by shared.digits
        having count(*) > 1
    )
order by spelled.digits, spelled.id
