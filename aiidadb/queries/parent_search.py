"""The two ways to the closest parents of nodes: from each by itself, and from all together."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Final

from aiidadb.queries.nearest_matches import NearestMatches
from aiidadb.queries.pk_bytes import pks_of_bytes
from aiidadb.sql import QUERIES
from aiidadb.turns import array_text, grow, in_turn, sort_distinct, without

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.criteria.node_criteria import Binder
    from aiidadb.sql import Query

__all__ = ["ParentSearch"]

_REPLAN_FROM: Final = 200
"""Starts from which on planning for their very number costs less than it saves."""

_PAIRS_OF_A_START: Final = 24
"""Nodes that a start may reach on the average before the walk is given up.

Where starts share what lies above them, the closure of all is cheaper long before; where they do
not, the walk is. As the number is fixed, the time stays linear either way.
"""

_FEWEST_PAIRS: Final = 4
"""Nodes that a start reaches even where its parent is next to it, and some more."""

_BYTES_OF_A_LINK: Final = 64
"""About what a link takes in its table."""

_LEAST_ALLOWANCE: Final = 1_000
"""Nodes that starts may reach, however few they are: what takes a millisecond or two."""

_LEAST_LEVEL: Final = 1_000
"""Nodes of a level from which on it is worth queries of its own."""

_SLICE: Final = 10_000
"""Nodes in one query for their links: bounds how long an answer holds the event loop."""


@dataclass(slots=True)
class _Closure:
    """The nodes above some starts, up to the first matches, and the links that lead to them.

    Attributes:
        nodes: The starts, and what lies between them and the matches.
        matches: The matches; some may be starts.
        inputs: The upper ends of the links.
        outputs: Their lower ends.
    """

    nodes: set[int] = field(default_factory=set)
    matches: set[int] = field(default_factory=set)
    inputs: array[int] = field(default_factory=partial(array, "i"))
    outputs: array[int] = field(default_factory=partial(array, "i"))

    def unknown(self, pks: Iterable[int]) -> Iterator[int]:
        """Those of some nodes that are not among the nodes and matches yet."""
        return (pk for pk in pks if pk not in self.nodes and pk not in self.matches)


@dataclass(frozen=True, slots=True)
class ParentSearch:
    """A search for closest parents, in two ways.

    A walk from each start ends at its first matches, and visits again what starts share. The
    closure of all starts has each node once, up to the matches on every way.

    Attributes:
        session: Where to ask.
        link_types: The links to follow, None for all.
        criteria: What parents must meet.
    """

    session: Session
    link_types: list[str] | None
    criteria: Binder

    async def allowance(self, number: int) -> int:
        """How many nodes each of so many starts may reach by itself, on the average.

        All walks together may visit as many links as there are, which bounds the closure too.

        Returns:
            The number; 0 where walks are not worth beginning.
        """
        if number < _REPLAN_FROM:
            return _PAIRS_OF_A_START
        size: int = await QUERIES["links_size"].fetchval(self.session)
        affordable = size // _BYTES_OF_A_LINK // number
        return 0 if affordable < _FEWEST_PAIRS else min(_PAIRS_OF_A_START, affordable)

    async def walk(self, starts: list[int], allowed: int | None = None) -> dict[int, int] | None:
        """From each start by itself up to its first matches, all in one statement.

        Args:
            starts: Pks to start from.
            allowed: How many nodes each may reach on the average before all is given up; None: any
                number.

        Returns:
            Start to parent; None where the walk was given up.
        """
        query, values = self._bound("closest_parents")
        allowance = None if allowed is None else max(_LEAST_ALLOWANCE, allowed * len(starts))
        rows = await self.session.fetch_traversal(
            query,
            starts,
            self.link_types,
            allowance,
            *values,
            replan=len(starts) >= _REPLAN_FROM,
        )
        if allowance is not None and rows and rows[0]["reached"] == allowance:
            return None
        return {start: parent for start, parent, _ in rows if parent is not None}

    async def through_closure(self, starts: list[int]) -> NearestMatches:
        """From all starts together, each node above them once, and then down from the matches.

        Returns:
            The nearest match above each of the starts.
        """
        # Several queries on one state of the database.
        async with self.session.snapshot():
            closure = await self._closure(starts)
        nodes = await in_turn(sort_distinct(closure.nodes))
        closure.nodes.clear()  # half of the memory
        nearest = NearestMatches(nodes, closure.matches)
        await in_turn(nearest.add_links(closure.inputs, closure.outputs))
        await in_turn(nearest.settle())
        return nearest

    async def _closure(self, starts: list[int]) -> _Closure:
        closure = _Closure()
        await in_turn(grow(closure.nodes, starts))
        await self._sort_out(closure, starts)
        level = starts
        # By levels, which are read in the order of an index, as long as they are large.
        while len(level) >= _LEAST_LEVEL or level is starts:
            above: set[int] = set()
            for at in range(0, len(level), _SLICE):
                inputs = await self._add_links(closure, level[at : at + _SLICE])
                await in_turn(grow(above, closure.unknown(inputs)))
            level = await self._sort_out(closure, await in_turn(sort_distinct(above)))
        if level:
            query, values = self._bound("closure_nodes")
            rows = await self.session.fetch_traversal(
                query, level, self.link_types, *values, replan=True
            )
            pks = {row["hit"]: pks_of_bytes(row["nodes"]) for row in rows}
            await in_turn(grow(closure.matches, pks.get(True, ())))
            level = await in_turn(sort_distinct(chain(level, closure.unknown(pks[False]))))
            await in_turn(grow(closure.nodes, level))
            for at in range(0, len(level), _SLICE):
                await self._add_links(closure, level[at : at + _SLICE])
        return closure

    async def _sort_out(self, closure: _Closure, pks: list[int]) -> list[int]:
        """Add nodes of one level, the matches to the matches; gives the others."""
        query, values = self._bound("matches_among")
        found = await query.fetchval(self.session, await in_turn(array_text(pks)), *values)
        if found is None:
            others = pks
        else:
            await in_turn(grow(closure.matches, pks_of_bytes(found)))
            others = await in_turn(without(pks, closure.matches))
        await in_turn(grow(closure.nodes, others))
        return others

    async def _add_links(self, closure: _Closure, nodes: list[int]) -> array[int]:
        """Add the links that lead to some nodes, and give their upper ends."""
        row = await QUERIES["links_above"].fetchrow(self.session, nodes, self.link_types)
        assert row is not None
        inputs = pks_of_bytes(row["inputs"])
        closure.inputs += inputs
        closure.outputs += pks_of_bytes(row["outputs"])
        return inputs

    def _bound(self, name: str) -> tuple[Query, Sequence[object]]:
        match, values = self.criteria(first=len(QUERIES[name].parameters) + 1)
        return _filled(name, match), values


@lru_cache(maxsize=64)  # rendering a query takes as long as running it for one node
def _filled(name: str, match: str) -> Query:
    return QUERIES[name].fill(match=match)
