-- name: campaign_members
-- purpose: Which nodes are in which groups of a generated campaign
-- parameters: $1 labels text[]: the groups' names; the last holds a choice out of the others
--     $2 slots int[]: which of a block's nodes are in groups
--     $3 first_block int: the first block
--     $4 last_block int: the last one
--     $5 block_size int: how many slots a block has
--     $6 first_pk int: the pk of slot 0 of block 0
-- result: dbnode_id int, dbgroup_id int; one row per member
with campaign as materialized (
    select
        stored.id,
        listed.rank - 1 as rank,
        count(*) over () - 1 as choice
    from unnest($1::text[]) with ordinality as listed (label, rank)
    inner join db_dbgroup as stored on stored.label = listed.label and stored.type_string = 'core'
),

member as (
    select
        block.number as block,
        $6::int + block.number * $5::int + slot.number as pk
    from generate_series($3::int, $4::int) as block (number)
    cross join unnest($2::int[]) as slot (number)
)

select
    member.pk as dbnode_id,
    campaign.id as dbgroup_id
from member
inner join campaign
    on campaign.rank = member.block % campaign.choice
    or (campaign.rank = campaign.choice and member.pk % 9 = 0)
order by member.pk, campaign.rank
