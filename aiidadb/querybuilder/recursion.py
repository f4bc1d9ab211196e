"""The walk from nodes to their ancestors or descendants, as a recursive common table expression.

Two things make it quick. It starts from the nodes that the joins leave, once from each; and for
every node reached it looks into the index on links, once: ``offset 0`` keeps the planner from
reading the whole table of links for every level instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiidadb.querybuilder.relations import Walk

__all__ = ["WalkNames", "write_walk"]

_FOLLOWED: Final = "type in ('create', 'input_calc')"


@dataclass(frozen=True, slots=True)
class WalkNames:
    """What a walk is called, and what is wanted of it.

    Attributes:
        starts: The table of the nodes to start from, in a column ``id``.
        walk: The table that is made.
        with_start: Whether the start of each way is wanted.
        each_way: Whether each way is wanted, in place of each pair of ends, or each end, once.
        with_path: Whether the nodes on each way are wanted.
    """

    starts: str
    walk: str
    with_start: bool
    each_way: bool
    with_path: bool


def write_walk(relation: Walk, names: WalkNames) -> str:
    """The common table expression of a walk.

    Its columns are ``start_id``, where that is wanted, and ``node_id``; for each way also
    ``depth``, which is 0 for one link, ``links``, and ``path``, where that is wanted.
    """
    if names.each_way:
        return _each_way(relation, names)
    start = "start_id, " if names.with_start else ""
    first = "start.id, " if names.with_start else ""
    next_one = "walk.start_id, " if names.with_start else ""
    return (
        f"{names.walk} ({start}node_id) as (\n"  # noqa: S608 - names of ours
        f"    select {first}link.{relation.far}\n"
        f"    from {names.starts} as start\n"
        f"    cross join lateral ({_links(relation, 'start.id')}) as link\n"
        "    union\n"
        f"    select {next_one}link.{relation.far}\n"
        f"    from {names.walk} as walk\n"
        f"    cross join lateral ({_links(relation, 'walk.node_id')}) as link\n"
        ")"
    )


def _each_way(relation: Walk, names: WalkNames) -> str:
    far = f"link.{relation.far}"
    path = first_path = next_path = ""
    if names.with_path:
        path, first_path, next_path = (
            ", path",
            f", array[start.id, {far}]",
            f", walk.path || {far}",
        )
    # A way that went over a link before would go round for ever, in a damaged database.
    links = _links(relation, "walk.node_id", "and id <> all (walk.links) ")
    return (
        f"{names.walk} (start_id, node_id, depth, links{path}) as (\n"  # noqa: S608 - names of ours
        f"    select start.id, {far}, 0, array[link.id]{first_path}\n"
        f"    from {names.starts} as start\n"
        f"    cross join lateral ({_links(relation, 'start.id')}) as link\n"
        "    union all\n"
        f"    select walk.start_id, {far}, walk.depth + 1, walk.links || link.id{next_path}\n"
        f"    from {names.walk} as walk\n"
        f"    cross join lateral ({links}) as link\n"
        ")"
    )


def _links(relation: Walk, node: str, further: str = "") -> str:
    return (
        f"select id, {relation.far} from db_dblink "  # noqa: S608 - names of ours
        f"where {relation.near} = {node} and {_FOLLOWED} {further}offset 0"
    )
