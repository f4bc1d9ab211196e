-- name: eav_bounds
-- purpose: Where to cut the nodes into slices of the same size, and some nodes from all over the
--   database that show which shapes are common.
-- parameters: $1 slice_size bigint: the least number of nodes a slice
--   $2 most_slices bigint: how many slices there may be
--   $3 sample_size bigint: about how many nodes are in the sample
-- result: nodes bigint, slice_size bigint, bounds bigint[] (ids at which a slice begins, but the
--   first), sample integer[]; one row
with counted as materialized (
  select
    count(*) as nodes,
    greatest($1::bigint, count(*) / $2::bigint + 1) as slice_size
  from db_dbnode
),
numbered as (
  -- both are taken by position, so that gaps in the ids do not matter
  select node.id, row_number() over (order by node.id) - 1 as position
  from db_dbnode as node
),
-- scattered: of nodes that were made by turns, every n-th would be of the same few kinds
chosen as (
  select
    numbered.id,
    numbered.position > 0 and numbered.position % counted.slice_size = 0 as is_bound,
    numbered.position * 2654435761 % 4294967296 * counted.nodes
      < $3::bigint * 4294967296 as is_sample
  from numbered
  cross join counted
)
select
  (select counted.nodes from counted) as nodes,
  (select counted.slice_size from counted) as slice_size,
  coalesce(array_agg(chosen.id::bigint order by chosen.id) filter (where chosen.is_bound), '{}')
    as bounds,
  coalesce(array_agg(chosen.id) filter (where chosen.is_sample), '{}') as sample
from chosen
