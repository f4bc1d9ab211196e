-- name: set_node_texts
-- purpose: Give nodes labels or descriptions: all of them, or none where one of the nodes does not
--     exist
-- parameters: $1 pks text: the nodes, none of them twice, as the text of an array, since asyncpg
--         writes a long array in one go
--     $2 texts text: the label or description of each, in the same order, as the text of an array
--     $3 are_labels bool: whether the texts are labels, else they are descriptions
-- result: missing bigint, first_missing bigint[]; one row: how many of the nodes do not exist, and
--     the first ten of them
with given as (
    select
        asked.pk,
        asked.text
    from unnest($1::text::bigint[], $2::text::text[]) as asked (pk, text)
),

-- In the order of their pks, so that two edits wait for each other instead of deadlocking.
locked as (
    select
        node.id,
        given.text
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

changed as (
    update db_dbnode as node
    set
        label = case when $3::bool then locked.text else node.label end,
        description = case when $3::bool then node.description else locked.text end,
        mtime = clock_timestamp()
    from locked
    where node.id = locked.id
        and not exists (select from missing)
)

select
    count(*) as missing,
    (array_agg(missing.pk order by missing.pk))[:10] as first_missing
from missing
