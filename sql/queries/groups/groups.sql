-- name: groups
-- purpose: Which groups there are, and how many nodes each has
-- parameters: $1 type_strings text[]: types of which one must be the group's, null for any
--     $2 label_contains text: literal text that the label must hold, null for any
--     $3 most bigint: how many rows at most, null for all
-- result: pk bigint, uuid text, label text, type_string text, user_pk bigint, size bigint; one row
--     per group, by pk; null is an empty text
with listed as (
    -- Those left out by the limit need not be counted.
    select
        grouping.id,
        grouping.uuid,
        grouping.label,
        grouping.type_string,
        grouping.user_id
    from db_dbgroup as grouping
    where ($1::text[] is null or grouping.type_string = any($1::text[]))
        -- Not `like`, for which some characters have a special meaning.
        and ($2::text is null or strpos(coalesce(grouping.label, ''), $2::text) > 0)
    order by grouping.id
    limit $3::bigint
)

select
    listed.id::bigint as pk,
    coalesce(listed.uuid::text, '') as uuid,
    coalesce(listed.label, '')::text as label,
    coalesce(listed.type_string, '')::text as type_string,
    listed.user_id::bigint as user_pk,
    members.number as size
from listed
inner join lateral (
    select count(*) as number
    from db_dbgroup_dbnodes as membership
    where membership.dbgroup_id = listed.id
) as members on true
order by listed.id
