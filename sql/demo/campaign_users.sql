-- name: campaign_users
-- purpose: The users of a generated campaign
-- parameters: $1 emails text[]: first and last name parted by a dot before the @
-- result: email text, first_name text, last_name text, institution text; one row per user that does
--     not exist yet
select
    person.email,
    initcap(split_part(split_part(person.email, '@', 1), '.', 1)) as first_name,
    initcap(split_part(split_part(person.email, '@', 1), '.', 2)) as last_name,
    '' as institution
from unnest($1::text[]) with ordinality as person (email, rank)
where
    not exists (
        select
        from db_dbuser as known
        where known.email = person.email
    )
order by person.rank
