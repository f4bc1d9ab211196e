-- name: departing_link_counts
-- purpose: How many links leave the database in step 0020, and why. The step itself has listed them
--     in the temporary table aiidadb_departing_links, from which it deletes them afterwards too
-- parameters: none
-- step: django_0020
-- result: reason text, number bigint; one row per reason that there is
select
    departing.reason,
    count(*) as number
from aiidadb_departing_links as departing
group by departing.reason
order by departing.reason
