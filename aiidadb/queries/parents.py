"""Ancestors of nodes: the closest that meets criteria, and all."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from aiidadb.arguments import as_count, require_function
from aiidadb.criteria.node_columns import as_columns, select_columns
from aiidadb.criteria.node_criteria import binder
from aiidadb.criteria.selection import fetch_selection
from aiidadb.criteria.tables import NODE_COLUMNS, nodes
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import did_you_mean, quote
from aiidadb.pks import as_many_pks
from aiidadb.queries.parent_search import ParentSearch
from aiidadb.queries.pk_bytes import pks_of_bytes
from aiidadb.sql import QUERIES
from aiidadb.turns import STEP, array_text, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from aiidadb.connecting.session import Session
    from aiidadb.pks import Pks
    from aiidadb.turns import Steps

__all__ = [
    "CHUNK_SIZE",
    "DATA_PROVENANCE",
    "LINK_TYPES",
    "as_link_types",
    "get_all_parents",
    "get_closest_parents",
]

CHUNK_SIZE: Final = 10_000
"""Nodes in one batch: bounds the server's memory, never changes the answer."""

_LOOKUPS: Final = NODE_COLUMNS | {"pk"}
"""What a node can be looked up by."""

_ARGUMENTS: Final = frozenset({"chunk_size", "link_types", "pks", "progress"})
"""What else get_closest_parents() has."""

_SAMPLE: Final = 64
"""Starts that tell how far the others have to go."""

LINK_TYPES: Final = frozenset(
    {"create", "return", "input_calc", "input_work", "call_calc", "call_work"}
)
"""Every type of link that AiiDA has."""

DATA_PROVENANCE: Final = ("create", "input_calc")
"""The links by which data come from data; QueryBuilder's ancestors follow these alone."""


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
    starts = await _as_starts(pks)
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


async def get_all_parents(
    session: Session,
    pks: Pks,
    return_values: Iterable[str],
    *,
    link_types: Collection[str] | None = None,
) -> list[tuple[object, ...]]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_all_parents`."""
    columns = as_columns(return_values)
    types = as_link_types(link_types)
    starts = await _as_starts(pks)
    asked = await in_turn(array_text(starts))
    only_pks = all(str(column) == str(nodes.id) for column in columns)
    snapshot = contextlib.nullcontext() if only_pks else session.snapshot()
    async with session.lane(starts=len(starts)), snapshot:
        (row,) = await session.fetch_traversal(QUERIES["all_parents"], asked, types)
        found = pks_of_bytes(row["nodes"])
        if not only_pks:
            selected = await fetch_selection(session, select_columns(columns, list(found)))
            return [tuple(row) for row in selected]
    return await in_turn(_repeat(found, len(columns)))


def _repeat(pks: Sequence[int], times: int) -> Steps[list[tuple[object, ...]]]:
    """A row for each pk, with nothing else in its columns."""
    rows: list[tuple[object, ...]] = []
    for at in range(0, len(pks), STEP):
        rows += [(pk,) * times for pk in pks[at : at + STEP]]
        yield
    return rows


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
    # Several questions see one snapshot, so that their number does not change the answer.
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


async def _as_starts(pks: Pks) -> list[int]:
    """What can be a node: a pk is a 32-bit integer."""
    if type(pks) is int and 0 < pks < 2**31:
        return [pks]
    starts = await as_many_pks(pks)
    del starts[bisect_left(starts, 2**31) :]
    del starts[: bisect_left(starts, 1)]
    return starts


def _no_such_argument(name: str) -> InvalidInputError:
    """The error for what is neither an argument nor a column, such as a slip of the pen."""
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


def as_link_types(link_types: Collection[str] | None) -> list[str] | None:
    """Types of links as they are sent; None for all.

    Raises:
        InvalidInputError: AiiDA has no links of such a type.
        InvalidTypeError: Not a collection of texts.
    """
    if link_types is None:
        return None
    if isinstance(link_types, str):
        raise InvalidTypeError(f"link_types must be several, such as ({quote(link_types)},)")
    if not isinstance(link_types, Iterable):
        raise InvalidTypeError(f"link_types must be several types, not {quote(link_types)}")
    names = list(link_types)
    for name in names:
        if not isinstance(name, str) or name not in LINK_TYPES:
            kind = InvalidInputError if isinstance(name, str) else InvalidTypeError
            raise kind(
                f"there is no link type {quote(name)}; AiiDA has {', '.join(sorted(LINK_TYPES))}"
            )
    return sorted(names)
