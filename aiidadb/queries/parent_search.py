"""The two ways to the closest parents of nodes: from each by itself, and from all together."""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import anyio.lowlevel

from aiidadb.queries.nearest_matches import NearestMatches
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiidadb.connecting.session import Session
    from aiidadb.sql import Query

__all__ = ["ParentSearch", "in_turn"]

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
"""Nodes of a level from which on it is worth questions of its own."""

_SLICE: Final = 10_000
"""Nodes in one question about their links: bounds how long an answer holds the event loop."""

_TESTED_AT_ONCE: Final = 100_000
"""Nodes in one question about the criteria, whose own queries run once for each."""


class Criteria(Protocol):
    """What parents must meet, as SQL."""

    def __call__(self, *, first: int) -> tuple[str, list[object]]:
        """The condition on ``db_dbnode`` with parameters from a number on, and their values."""


@dataclass(slots=True)
class _Closure:
    """The nodes above some starts, up to the first matches, and the links that lead to them.

    Attributes:
        nodes: The starts, and what lies between them and the matches.
        matches: The matches; some may be starts.
        inputs: The upper ends of the links.
        outputs: Their lower ends.
    """

    nodes: set[int]
    matches: set[int]
    inputs: array[int] = field(default_factory=partial(array, "i"))
    outputs: array[int] = field(default_factory=partial(array, "i"))


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
    criteria: Criteria

    async def allowance(self, number: int) -> int | None:
        """How many nodes each of so many starts may reach by itself, on the average.

        All walks together may visit as many links as there are, which bounds the closure too.

        Returns:
            The number; 0 where walks are not worth beginning, None where there is no limit.
        """
        if number == 1:
            return None  # no walk from a single start is longer than it must be
        if number < _REPLAN_FROM:
            return _PAIRS_OF_A_START
        size: int = await QUERIES["links_size"].fetchval(self.session)
        affordable = size // _BYTES_OF_A_LINK // number
        return 0 if affordable < _FEWEST_PAIRS else min(_PAIRS_OF_A_START, affordable)

    async def walk(self, starts: list[int], allowed: int | None) -> dict[int, int] | None:
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
        # Several questions about one state of the database.
        async with self.session.snapshot():
            closure = await self._closure(starts)
        nodes = sorted(closure.nodes)
        closure.nodes.clear()  # half of the memory
        nearest = NearestMatches(nodes, closure.matches)
        await in_turn(nearest.add_links(closure.inputs, closure.outputs))
        await in_turn(nearest.settle())
        return nearest

    async def _closure(self, starts: list[int]) -> _Closure:
        closure = _Closure(set(starts), await self._matches(starts))
        level = starts
        # By levels, which are read in the order of an index, as long as they are large.
        while len(level) >= _LEAST_LEVEL or level is starts:
            above: set[int] = set()
            for at in range(0, len(level), _SLICE):
                inputs = set(await self._add_links(closure, level[at : at + _SLICE]))
                above |= inputs - closure.nodes - closure.matches
            found = await self._matches(sorted(above))
            closure.matches |= found
            level = sorted(above - found)
            closure.nodes.update(level)
        if level:
            query, values = self._bound("closure_nodes")
            rows = await self.session.fetch_traversal(
                query, level, self.link_types, *values, replan=True
            )
            pks = {row["hit"]: _integers(row["nodes"]) for row in rows}
            closure.matches.update(pks.get(True, ()))
            level = sorted({*level, *(set(pks[False]) - closure.nodes)})
            closure.nodes.update(level)
            for at in range(0, len(level), _SLICE):
                await self._add_links(closure, level[at : at + _SLICE])
        return closure

    async def _add_links(self, closure: _Closure, nodes: list[int]) -> array[int]:
        """Add the links that lead to some nodes, and give their upper ends."""
        row = await QUERIES["links_above"].fetchrow(self.session, nodes, self.link_types)
        assert row is not None
        inputs = _integers(row["inputs"])
        closure.inputs += inputs
        closure.outputs += _integers(row["outputs"])
        return inputs

    async def _matches(self, nodes: list[int]) -> set[int]:
        """Those of some nodes that meet the criteria."""
        query, values = self._bound("matches_among")
        matches: set[int] = set()
        for at in range(0, len(nodes), _TESTED_AT_ONCE):
            found = await query.fetchval(self.session, nodes[at : at + _TESTED_AT_ONCE], *values)
            matches.update(_integers(found))
        return matches

    def _bound(self, name: str) -> tuple[Query, list[object]]:
        query = QUERIES[name]
        match, values = self.criteria(first=len(query.parameters) + 1)
        return query.fill(match=match), values


async def in_turn(work: Iterator[None]) -> None:
    """Do something long while others on the event loop get their turn."""
    for _ in work:
        await anyio.lowlevel.checkpoint()


def _integers(data: bytes | None) -> array[int]:
    """Integers of four bytes, the highest byte first, as PostgreSQL sends them; None for none."""
    integers = array("i", data or b"")
    if sys.byteorder == "little":
        integers.byteswap()
    return integers
