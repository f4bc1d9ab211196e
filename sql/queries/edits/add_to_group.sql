-- name: add_to_group
-- purpose: Put nodes into a group: all of them, or none where one of them does not exist
-- parameters: $1 group_pk bigint: the group's pk, or null
--     $2 group_uuid uuid: its UUID, or null
--     $3 group_label text: its label, or null
--     $4 pks text: the nodes, none of them twice, as the text of an array, since asyncpg writes a
--         long array in one go
-- result: groups bigint, missing bigint, first_missing bigint[], changed bigint; one row: how many
--     groups are meant, which is one if all is well, how many of the nodes do not exist, the first
--     ten of them, and how many memberships there are more or less
with meant as (
    select grouping.id
    from db_dbgroup as grouping
    where grouping.id = $1::bigint
        or grouping.uuid = $2::uuid
        or grouping.label = $3::text
    for key share
),

-- The group, where it is clear which one is meant.
chosen as (
    select min(meant.id) as id
    from meant
    having count(*) = 1
),

given as (
    select asked.pk
    from unnest($4::text::bigint[]) as asked (pk)
),

-- In the order of their pks, so that two edits wait for each other instead of deadlocking; and so
-- that none is deleted before the end of the transaction.
locked as (
    select node.id
    from given
    inner join db_dbnode as node on node.id = given.pk
    order by node.id
    for key share of node
),

missing as (
    select given.pk
    from given

    except

    select locked.id::bigint
    from locked
),

added as (
    insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
    select
        chosen.id as group_id,
        locked.id as node_id
    from chosen
    cross join locked
    where not exists (select from missing)
        -- A conflicting row uses up a number of the sequence nevertheless.
        and not exists (
            select
            from db_dbgroup_dbnodes as membership
            where membership.dbgroup_id = chosen.id
                and membership.dbnode_id = locked.id
        )
    order by locked.id
    -- Another one may be adding them at this moment.
    on conflict (dbgroup_id, dbnode_id) do nothing
    returning dbnode_id
)

select
    (select count(*) from meant) as groups,
    (select count(*) from missing) as missing,
    (
        select (array_agg(missing.pk order by missing.pk))[:10]
        from missing
    ) as first_missing,
    (select count(*) from added) as changed
