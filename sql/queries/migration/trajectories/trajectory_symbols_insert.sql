-- name: trajectory_symbols_insert
-- purpose: Writes the attribute symbols, a list of texts, as AiiDA keeps one in rows before step
--     0037: one row for the list with its length, one for each item
-- parameters: $1 node_ids int[]: the nodes
--     $2 symbols text[]: the symbols of each, a JSON array of strings
-- schema: django_0025
-- result: none
with trajectory as materialized (
    -- parsed once, used for the list's own row and for those of its items
    select
        given.node_id,
        given.symbols::jsonb as symbols
    from unnest($1::int[], $2::text[]) as given (node_id, symbols)
)

insert into db_dbattribute (dbnode_id, key, datatype, tval, ival)
select
    trajectory.node_id,
    'symbols',
    'list',
    '',
    jsonb_array_length(trajectory.symbols)
from trajectory
union all
select
    trajectory.node_id,
    'symbols.' || (item.position - 1),
    'txt',
    item.symbol,
    null
from trajectory
inner join
    lateral jsonb_array_elements_text(trajectory.symbols)
    with ordinality as item (symbol, position)
    on true
