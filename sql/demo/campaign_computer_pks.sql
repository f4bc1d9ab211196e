-- name: campaign_computer_pks
-- purpose: The pks of the computers of a generated campaign
-- parameters: $1 labels text[]: their names
--     $2 seed int: the one that they were made with
-- result: pk int; one row per computer, in the order of the labels
select stored.id as pk
from unnest($1::text[]) with ordinality as computer (label, rank)
inner join db_dbcomputer as stored
    on stored.uuid = md5($2::int || ':computer:' || computer.label)::uuid
order by computer.rank
