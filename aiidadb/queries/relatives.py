"""All ancestors of some nodes, and all descendants."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Final

from aiidadb.arguments import as_whole_number
from aiidadb.criteria.node_columns import as_columns
from aiidadb.criteria.selection import fetch_columns
from aiidadb.criteria.tables import nodes
from aiidadb.pks import as_node_pks
from aiidadb.queries.link_types import as_link_types
from aiidadb.queries.pk_bytes import pks_of_bytes
from aiidadb.queries.walk import Walk
from aiidadb.sql import QUERIES
from aiidadb.turns import STEP, array_text, in_turn, sort_distinct

if TYPE_CHECKING:
    from array import array
    from collections.abc import Collection, Sequence

    import asyncpg

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.criteria.node_columns import Columns
    from aiidadb.pks import Pks
    from aiidadb.turns import Steps

__all__ = ["MOST_DEPTH", "get_all_parents", "get_descendants"]

MOST_DEPTH: Final = 2**31 - 1
"""No two nodes are further apart: there are not more of them."""

_DEPTH: Final = "depth"


async def get_all_parents(
    session: Session,
    pks: Pks,
    return_values: Iterable[str],
    *,
    link_types: Collection[str] | None = None,
    max_depth: int | None = None,
) -> list[tuple[object, ...]]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_all_parents`."""
    return await _get(session, pks, return_values, link_types, max_depth, upwards=True)


async def get_descendants(
    session: Session,
    pks: Pks,
    return_values: Iterable[str],
    *,
    link_types: Collection[str] | None = None,
    max_depth: int | None = None,
) -> list[tuple[object, ...]]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_descendants`."""
    return await _get(session, pks, return_values, link_types, max_depth, upwards=False)


async def _get(
    session: Session,
    pks: Pks,
    return_values: Iterable[str],
    link_types: Collection[str] | None,
    max_depth: int | None,
    *,
    upwards: bool,
) -> list[tuple[object, ...]]:
    columns, depth_at = _as_return_values(return_values)
    most = None if max_depth is None else as_whole_number(max_depth, "max_depth")
    walk = Walk(
        as_link_types(link_types),
        upwards=upwards,
        downwards=not upwards,
        max_depth=None if most is None else min(most, MOST_DEPTH),
    )
    starts = await as_node_pks(pks)
    only_pks = all(str(column) == str(nodes.id) for column in columns)
    snapshot = contextlib.nullcontext() if only_pks else session.snapshot()
    depths: dict[int, int] = {}
    async with session.lane(starts=len(starts)), snapshot:
        found: Sequence[int]
        if upwards and walk.max_depth is None and not depth_at:
            found = await _ancestors(session, starts, walk.link_types)
        else:
            levels = (await walk.levels(session, starts))[1:]
            found = await in_turn(sort_distinct(chain.from_iterable(levels)))
            if depth_at:
                await in_turn(_note_depths(levels, depths))
        if only_pks:
            rows = await in_turn(_repeat(found, len(columns)))
            marked: Sequence[int] = found
        else:
            selected = await fetch_columns(session, [nodes.id, *columns], found)
            rows, marked = await in_turn(_without_first(selected))
    if depth_at:
        return await in_turn(_with_depths(rows, marked, depths, depth_at))
    return rows


async def _ancestors(
    session: Session, starts: list[int], link_types: list[str] | None
) -> array[int]:
    """All of them, ascending, without how far they are: somewhat faster than a walk by levels."""
    asked = await in_turn(array_text(starts))
    (row,) = await session.fetch_traversal(QUERIES["all_parents"], asked, link_types)
    return pks_of_bytes(row["nodes"])


def _as_return_values(names: Iterable[str]) -> tuple[Columns, list[int]]:
    """The columns of nodes among what is to be returned, and the places of the depth."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        return as_columns(names), []  # which refuses it
    names = list(names)
    depth_at = [at for at, name in enumerate(names) if isinstance(name, str) and name == _DEPTH]
    if depth_at and len(depth_at) == len(names):
        return [], depth_at
    others = [name for at, name in enumerate(names) if at not in depth_at]
    return as_columns(others, or_else={_DEPTH}), depth_at


def _note_depths(levels: list[array[int]], depths: dict[int, int]) -> Steps[None]:
    count = 0
    for depth, level in enumerate(levels, start=1):
        for at in range(0, len(level), STEP):
            some = level[at : at + STEP]
            depths.update(dict.fromkeys(some, depth))
            count += len(some)
            if count >= STEP:
                count = 0
                yield


def _repeat(pks: Sequence[int], times: int) -> Steps[list[tuple[object, ...]]]:
    """A row for each pk, with nothing else in its columns."""
    rows: list[tuple[object, ...]] = []
    for at in range(0, len(pks), STEP):
        rows += [(pk,) * times for pk in pks[at : at + STEP]]
        yield
    return rows


def _without_first(
    selected: Sequence[asyncpg.Record],
) -> Steps[tuple[list[tuple[object, ...]], list[int]]]:
    """Rows without their first column, and that column by itself."""
    rows: list[tuple[object, ...]] = []
    first: list[int] = []
    for at in range(0, len(selected), STEP):
        for pk, *others in selected[at : at + STEP]:
            first.append(pk)
            rows.append(tuple(others))
        yield
    return rows, first


def _with_depths(
    rows: list[tuple[object, ...]],
    pks: Sequence[int],
    depths: dict[int, int],
    places: list[int],
) -> Steps[list[tuple[object, ...]]]:
    """Rows with the depth put in at some places, which ascend."""
    done: list[tuple[object, ...]] = []
    for at in range(0, len(rows), STEP):
        for row, pk in zip(rows[at : at + STEP], pks[at : at + STEP], strict=True):
            cells = list(row)
            for place in places:
                cells.insert(place, depths[pk])
            done.append(tuple(cells))
        yield
    return done
