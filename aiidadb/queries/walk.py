"""Walks along links, level by level: which nodes are how many links away from some others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.queries.pk_bytes import pks_of_bytes
from aiidadb.sql import QUERIES
from aiidadb.turns import STEP, array_text, in_turn

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.turns import Steps

__all__ = ["Walk"]

_BEGINNING: Final = 0
"""Stands in front of each level."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk along links.

    Attributes:
        link_types: The links to follow, None for all.
        upwards: Whether to follow them from their outputs to their inputs.
        downwards: Whether to follow them from their inputs to their outputs.
        max_depth: How many links away at most, None for any number.
        return_to_starts: Whether a start that links lead back to is reached once more.
    """

    link_types: list[str] | None
    upwards: bool = False
    downwards: bool = False
    max_depth: int | None = None
    return_to_starts: bool = True

    async def levels(
        self, session: Session, starts: Sequence[int], *, most: int | None = None
    ) -> list[array[int]]:
        """The nodes that are reached, each once, by the least number of links to them.

        Args:
            session: Where to ask.
            starts: Pks to start from.
            most: How many nodes there are at most, the nearest ones, and a few more; None: all.

        Returns:
            The starts that exist, the nodes one link away, those two links away, and so on.
        """
        rows = None
        if most is not None:  # and the beginnings of their levels
            rows = most + 2 + (most if self.max_depth is None else min(most, self.max_depth))
        (row,) = await session.fetch_traversal(
            QUERIES["nodes_within"],
            await in_turn(array_text(starts)),
            self.link_types,
            self.upwards,
            self.downwards,
            self.max_depth,
            self.return_to_starts,
            rows,
        )
        return await in_turn(_apart(pks_of_bytes(row["levels"])))


def _apart(reached: array[int]) -> Steps[list[array[int]]]:
    """The levels, each of which has a beginning in front of it."""
    levels: list[array[int]] = []
    begin = 0
    while begin < len(reached):
        try:
            end = reached.index(_BEGINNING, begin + 1)
        except ValueError:
            end = len(reached)
        levels.append(reached[begin + 1 : end])
        begin = end
        if len(levels) % STEP == 0:
            yield
    while len(levels) > 1 and not levels[-1]:
        levels.pop()
    return levels
