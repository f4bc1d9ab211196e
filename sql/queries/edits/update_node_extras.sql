-- name: update_node_extras
-- purpose: Add to the extras of nodes, or replace what has the same key: of all of them, or of none
--     where one of the nodes does not exist, or has extras that are not an object
-- parameters: $1 pks text: the nodes, none of them twice, as the text of an array, since asyncpg
--         writes a long array in one go
--     $2 extras text: for each a JSON object, in the same order, as the text of an array
-- result: missing bigint, first_missing bigint[], odd bigint, first_odd bigint[]; one row: how many
--     of the nodes do not exist, how many have extras that are not an object, and the first ten of
--     each
with given as (
    select
        asked.pk,
        asked.extras
    from unnest($1::text::bigint[], $2::text::text[]) as asked (pk, extras)
),

-- In the order of their pks, so that two edits wait for each other instead of deadlocking.
locked as (
    select
        node.id,
        given.extras,
        jsonb_typeof(node.extras) as kind
    from given
    inner join db_dbnode as node on node.id = given.pk
    order by node.id
    for no key update of node
),

missing as (
    select given.pk
    from given

    except

    select locked.id::bigint
    from locked
),

odd as (
    select locked.id::bigint as pk
    from locked
    where locked.kind not in ('object', 'null')
),

changed as (
    update db_dbnode as node
    set
        extras = coalesce(nullif(node.extras, 'null'::jsonb), '{}'::jsonb) || locked.extras::jsonb,
        mtime = clock_timestamp()
    from locked
    where node.id = locked.id
        and not exists (select from missing)
        and not exists (select from odd)
)

select
    (select count(*) from missing) as missing,
    (
        select (array_agg(missing.pk order by missing.pk))[:10]
        from missing
    ) as first_missing,
    (select count(*) from odd) as odd,
    (
        select (array_agg(odd.pk order by odd.pk))[:10]
        from odd
    ) as first_odd
