"""The walk from nodes to their ancestors or descendants, as recursive common table expressions.

Two things make it quick:

- It starts only from the nodes that the joins and filters before it leave, once from each.
- Each node that it reaches is looked up once in the index on links. ``offset 0`` keeps the planner
  from reading the whole table of links for every level instead.

Provenance has no cycles, but the links of a damaged database can form one, and a walk must end
there too. The simple way would be that each way carries all its links, and never goes over one
twice. For a long way that takes a time that grows with the square of its length, as the list is
copied and searched at each step. So there are two measures:

- A way carries only its first links, :data:`_CARRIED` of them.
- Only if a way gets longer than that, the server looks, once, whether there can be a cycle at all
  (:func:`_search_for_cycle`). If so, ways carry all their links after all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiidadb.querybuilder.relations import Walk

__all__ = ["FAR", "FURTHER", "WalkNames", "write_walk"]

FURTHER: Final = "walk.depth + 1"
"""SQL for the depth that a way has after its next link."""

FAR: Final = "16"
"""SQL for a depth from which on ways can be too many to be looked at one by one."""

_FOLLOWED: Final = "type in ('create', 'input_calc')"
_CARRIED: Final = 32
"""How many links each way carries, if there is no cycle."""

_SETS: Final = 32
"""The search for a cycle looks at this many times as many nodes as can be reached."""


class WalkNames(NamedTuple):
    """What a walk is called, and what is wanted of it.

    Attributes:
        number: What distinguishes its tables from those of other walks.
        with_start: Whether the start of each row is wanted.
        carried: Further columns of the table of starts that are wanted, of ends alone.
        rows: Whether there is one row for each end or pair of ends, for each pair and depth, or for
            each way.
        with_path: Whether the nodes on each way are wanted.
        with_links: Whether the links of each way are wanted.
        goes_on: SQL for whether a way may get to the depth :data:`FURTHER`; empty: it may.
        goes_far: The same of the depth :data:`FAR`.
    """

    number: int
    with_start: bool = True
    carried: tuple[str, ...] = ()
    rows: Literal["ends", "depths", "ways"] = "ends"
    with_path: bool = False
    with_links: bool = False
    goes_on: str = ""
    goes_far: str = ""

    @property
    def starts(self) -> str:
        """The table of the nodes to start from, in a column ``id``, with what is carried."""
        return f"starts{self.number}"

    @property
    def walk(self) -> str:
        """The table that is made."""
        return f"walk{self.number}"

    @property
    def cycle(self) -> str:
        """The table that says whether links may form a cycle."""
        return f"cycle{self.number}"


@lru_cache(maxsize=256)
def write_walk(relation: Walk, names: WalkNames) -> tuple[str, ...]:
    """The common table expressions of a walk, the last of which is the walk itself.

    Its columns are ``start_id``, where that is wanted, and ``node_id``; except for ends alone also
    ``depth``, which is 0 for one link, ``links``, and ``path``, where that is wanted.
    """
    far = f"link.{relation.far}"
    start = _Column("start_id", "start.id", "walk.start_id")
    node = _Column("node_id", far, far)
    columns = [start, node] if names.with_start else [node]
    if names.rows == "ends":
        carried = [_Column(one, f"start.{one}", f"walk.{one}") for one in names.carried]
        return (_table(names.walk, [*carried, *columns], relation, names),)
    columns += [_Column("depth", "0", FURTHER), _carried_links(names)]
    if names.with_path:
        columns.append(_Column("path", f"array[start.id, {far}]", f"walk.path || {far}"))
    walk = _table(
        names.walk,
        columns,
        relation,
        names,
        union="union" if names.rows == "depths" else "union all",
        unless="id <> all (walk.links)",
        where=names.goes_on,
    )
    return (walk,) if names.with_links else (*_search_for_cycle(relation, names), walk)


class _Column(NamedTuple):
    """A column of a walk.

    Attributes:
        name: What it is called.
        first: SQL for it after the first link.
        further: SQL for it after each further one.
    """

    name: str
    first: str
    further: str


def _table(
    name: str,
    columns: Sequence[_Column],
    relation: Walk,
    names: WalkNames,
    *,
    select: str = "select",
    union: str = "union",
    unless: str = "",
    where: str = "",
) -> str:
    """A row for each link of the starts, and for each link of what a row before leads to."""
    from_start, from_node = _links(relation, "start.id"), _links(relation, "walk.node_id", unless)
    return (
        f"{name} ({', '.join(one.name for one in columns)}) as (\n"
        f"    {select} {', '.join(one.first for one in columns)}\n"
        f"    from {names.starts} as start\n"
        f"    cross join lateral ({from_start}) as link\n"
        f"    {union}\n"
        f"    {select} {', '.join(one.further for one in columns)}\n"
        f"    from {name} as walk\n"
        f"    cross join lateral ({from_node}) as link\n"
        f"{f'    where {where}' + chr(10) if where else ''}"
        ")"
    )


def _links(relation: Walk, node: str, unless: str = "") -> str:
    further = f"and {unless} " if unless else ""
    return (
        f"select id, {relation.far} from db_dblink "  # noqa: S608 - names of ours
        f"where {relation.near} = {node} and {_FOLLOWED} {further}offset 0"
    )


def _carried_links(names: WalkNames) -> _Column:
    """The links of a way, as far as it must know them."""
    # To put two arrays together is cheaper than to append to one, which the server first unfolds.
    first, further = "array[link.id]", "walk.links || array[link.id]"
    if names.with_links:
        return _Column("links", first, further)
    has_cycle = f"(select is_there from {names.cycle})"  # noqa: S608 - a name of ours
    if names.rows == "depths":
        # Ways with the same ends and depth are one row, because `union` removes duplicates; but
        # only if the links that they carry are equal too. So they carry none, as long as there is
        # no cycle. Near the start, where a bound on the depth lets no way get far, there are few
        # ways, and carrying their links spares the search for a cycle.
        carries = f"not ({names.goes_far}) or {has_cycle}" if names.goes_far else has_cycle
        first = f"case when {carries} then {first} else array[]::int[] end"
    else:
        carries = f"{FURTHER} < {_CARRIED} or {has_cycle}"
    further = f"case when {carries} then {further} else walk.links end"
    return _Column("links", first, further)


def _search_for_cycle(relation: Walk, names: WalkNames) -> list[str]:
    """Tables that say whether the links may form a cycle; the server makes them only if needed.

    From the set of all starts the search goes to the set of all nodes one link away, from these to
    the next set, and so on. Without a cycle, some set is empty, and it ends. With one it would go
    on forever, so it stops after :data:`_SETS` times the number of nodes that can be reached, and
    takes that for a cycle. Nodes that can be reached at very many different depths may be taken for
    one as well; ways then carry all their links, which costs time and changes no answer.
    """
    far = f"link.{relation.far}"
    node = [_Column("node_id", far, far)]
    reached, sets = f"reached{names.number}", f"sets{names.number}"
    most = f"{_SETS} * (select count(*) from {reached})"  # noqa: S608 - names of ours
    answer = (
        f"{names.cycle} (is_there) as (\n"  # noqa: S608 - names of ours
        f"    select count(*) > {most}\n"
        f"    from (select from {sets} limit {most} + 1) as seen\n"
        ")"
    )
    return [
        _table(reached, node, relation, names),
        _table(sets, node, relation, names, select="select distinct", union="union all"),
        answer,
    ]
