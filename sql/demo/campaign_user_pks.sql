-- name: campaign_user_pks
-- purpose: The pks of the users of a generated campaign
-- parameters: $1 emails text[]: theirs
-- result: pk int; one row per user, in the order of the emails
select stored.id as pk
from unnest($1::text[]) with ordinality as person (email, rank)
inner join db_dbuser as stored on stored.email = person.email
order by person.rank
