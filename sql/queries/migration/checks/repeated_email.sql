-- name: repeated_email
-- purpose: Users whose email another user has too: 0018 makes the column unique again
-- parameters: none
-- schema: django_0001, django_0017
-- result: subject text, number bigint, pks bigint[], example text; one row, or none
with counted as (
    select
        owner.id,
        owner.email,
        count(*) over (partition by owner.email) as bearers
    from db_dbuser as owner
)

select
    'db_dbuser' as subject,
    count(*) as number,
    (array_agg(counted.id::bigint order by counted.id))[:10] as pks,
    min(counted.email) as example
from counted
where counted.bearers > 1
having count(*) > 0
