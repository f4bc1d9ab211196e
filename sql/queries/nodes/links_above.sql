-- name: links_above
-- purpose: The links that lead to some nodes, in a form that is small to send and to hold
-- parameters: $1 nodes int[]: pks of the nodes that the links lead to
--     $2 link_types text[]: the types of links, null for all
-- result: inputs bytea, outputs bytea; one row: the pks of both ends, link by link in the same
--     order, four bytes each, the highest first; null where there are no links
select
    string_agg(int4send(link.input_id), '') as inputs,
    string_agg(int4send(link.output_id), '') as outputs
from db_dblink as link
-- In a subquery, where the planner cannot see how many there are: for so many it would read the
-- whole table, once for each part of a large closure. One pass over the index finds them all.
where link.output_id = any((select $1::int[])::int[])
    -- In the sqlalchemy line a link may lack an end; it would shift inputs against outputs.
    and link.input_id is not null
    and ($2::text[] is null or link.type = any($2::text[]))
