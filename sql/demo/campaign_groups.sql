-- name: campaign_groups
-- purpose: The groups of a generated campaign
-- parameters: $1 labels text[]: their names
--     $2 seed int: other seeds, other uuids
--     $3 user_pk int: whose they are
--     $4 until timestamptz: when the last node was made
-- result: uuid uuid, label text, type_string text, time timestamptz, description text, user_id int,
--     extras jsonb; one row per group
select
    md5($2::int || ':group:' || campaign.label)::uuid as uuid,
    campaign.label,
    'core' as type_string,
    $4::timestamptz - interval '270 days' as time,
    '' as description,
    $3::int as user_id,
    '{}'::jsonb as extras
from unnest($1::text[]) with ordinality as campaign (label, rank)
order by campaign.rank
