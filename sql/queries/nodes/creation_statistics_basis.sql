-- name: creation_statistics_basis
-- purpose: What statistics of creation are based on: which time zone is the session's, and
--     whether nodes can be counted from indexes
-- parameters: none
-- result: timezone text, by_index bool; one row. Indexes are enough where the rows of nearly all
--     pages are known to be visible, which vacuum finds out; elsewhere each entry of an index costs
--     a look at its row. The sqlalchemy line has no index on the time before it ends
select
    current_setting('TimeZone') as timezone,
    relation.relpages > 0
    and relation.relallvisible >= 0.9 * relation.relpages
    and exists (
        select
        from pg_index as index
        inner join pg_attribute as attribute
            on attribute.attrelid = index.indrelid
            and attribute.attnum = index.indkey[0]
        where index.indrelid = relation.oid
            and index.indisvalid
            and index.indpred is null
            and attribute.attname = 'ctime'
    ) as by_index
from pg_class as relation
where relation.oid = 'db_dbnode'::regclass
