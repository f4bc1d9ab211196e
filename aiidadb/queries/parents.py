"""The closest ancestors of nodes that meet criteria."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from aiidadb.arguments import as_count, require_function
from aiidadb.criteria.node_criteria import binder
from aiidadb.criteria.tables import NODE_COLUMNS
from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import did_you_mean, quote
from aiidadb.pks import as_node_pks
from aiidadb.queries.link_types import as_link_types
from aiidadb.queries.parent_search import ParentSearch
from aiidadb.turns import in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.pks import Pks

__all__ = ["CHUNK_SIZE", "get_closest_parents"]

CHUNK_SIZE: Final = 10_000
"""Nodes in one batch: bounds the server's memory, never changes the answer."""

_LOOKUPS: Final = NODE_COLUMNS | {"pk"}
"""What a node can be looked up by."""

_ARGUMENTS: Final = frozenset({"chunk_size", "link_types", "pks", "progress"})
"""What else get_closest_parents() has."""

_SAMPLE: Final = 64
"""Starts that show how far the others have to go."""


async def get_closest_parents(
    session: Session,
    pks: Pks,
    criteria: Collection[object],
    lookups: Mapping[str, object],
    *,
    link_types: Collection[str] | None = None,
    chunk_size: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    doubts: bool = True,
) -> dict[int, int]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_closest_parents`.

    Without ``doubts``, nodes of a type were found before, as this database spells it: that none has
    a parent does not come of a migration.
    """
    if not lookups.keys() <= _LOOKUPS:
        raise _no_such_argument(next(name for name in lookups if name not in _LOOKUPS))
    starts = await as_node_pks(pks)
    size = CHUNK_SIZE if chunk_size is None else as_count(chunk_size, "chunk_size")
    types = as_link_types(link_types)
    require_function(progress, "progress")
    bind = binder(criteria, lookups, session.require_version())
    parents: dict[int, int] | None = None
    search = ParentSearch(session, types, bind)
    if len(starts) == 1:  # no walk from a single start is longer than it must be
        parents = await search.walk(starts)
        if progress is not None:
            progress(1, 1)
    elif starts:
        async with session.lane(starts=len(starts)):
            parents = await _find(search, starts, size, progress)
    if not parents:
        _, values = bind(first=1)  # without starts too, so that what cannot be meant is refused
        if doubts and starts and values:
            await session.doubt_empty_answer()
    return parents or {}


async def _find(
    search: ParentSearch,
    starts: list[int],
    size: int,
    progress: Callable[[int, int], object] | None,
) -> dict[int, int]:
    """Walk from start after start as long as parents are near, then search the rest together."""
    # Some of all first: they show how far the others have to go.
    some = slice(None, None, max(1, -(-len(starts) // _SAMPLE)))
    waiting, others = starts[some], starts[:]
    end = min(size, len(waiting))
    del others[some]
    waiting += others
    total = len(waiting)
    parents: dict[int, int] = {}
    # Several queries see one snapshot, so that their number does not change the answer.
    async with search.session.snapshot() if end < total else contextlib.nullcontext():
        done = 0
        allowed = await search.allowance(total)
        while done < total and allowed != 0:
            found = await search.walk(waiting[done:end], allowed)
            if found is None:
                break
            parents |= found
            done, end = end, min(end + size, total)
            if progress is not None:
                progress(done, total)
        if done < total:
            nearest = await search.through_closure(waiting[done:])
            while done < total:
                end = min(done + size, total)
                await in_turn(nearest.write_above(waiting[done:end], parents))
                done = end
                if progress is not None:
                    progress(done, total)
    return parents


def _no_such_argument(name: str) -> InvalidInputError:
    """The error for what is neither an argument nor a column, such as a typing mistake."""
    if "__" in name:
        advice = (
            "a lookup is for equality; for other comparisons give a criterion, such as "
            "nodes.label.like('relax%')"
        )
    else:
        there = ", ".join(sorted(_LOOKUPS))
        advice = did_you_mean(name, _LOOKUPS | _ARGUMENTS) or f"choose among {there}"
    return InvalidInputError(
        f"get_closest_parents() has no argument {quote(name)}, and nodes have no column "
        f"{quote(name)}",
        advice=advice,
    )
