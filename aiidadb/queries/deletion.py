"""Deleting nodes with all that depends on them in the database.

The file repository is not touched: the files of deleted nodes stay until AiiDA's own maintenance
(``verdi storage maintain`` in 2.x) removes what no node refers to.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.arguments import as_flag, require_function
from aiidadb.connecting.sessions.session import NO_TIME_LIMIT
from aiidadb.exceptions import NotExistent
from aiidadb.messages import list_first, printable
from aiidadb.pks import as_many_pks
from aiidadb.queries.pk_bytes import pks_of_bytes
from aiidadb.sql import QUERIES
from aiidadb.turns import array_text, grow, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.pks import Pks

__all__ = [
    "DeletionPreview",
    "DeletionReport",
    "delete_nodes_and_connections",
    "get_nodes_to_delete",
    "preview_deletion",
]

_LOGGER: Final = logging.getLogger(__name__)

# AiiDA's provenance rules: which link includes which of its ends. Those that a caller may
# switch off are not among these.
_ALWAYS_FORWARD: Final = ("input_calc", "input_work")
_ALWAYS_BACKWARD: Final = ("create", "return", "call_calc", "call_work")

_BATCH: Final = 5_000
"""Nodes in one statement, which take the server some tenths of a second."""


@dataclass(frozen=True, slots=True)
class DeletionReport:
    """What a deletion removed.

    Attributes:
        nodes: How many nodes.
        links: How many links to or from them.
        group_memberships: How many memberships of groups.
        comments: How many comments.
        logs: How many log messages.
        missing: The pks asked for that were not in the database, ascending.
    """

    nodes: int = 0
    links: int = 0
    group_memberships: int = 0
    comments: int = 0
    logs: int = 0
    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DeletionPreview:
    """What a deletion would remove.

    Attributes:
        counts: How many of each, and which nodes are not there.
        types: Node type to number of nodes, most frequent first.
        links_cut: How many of the links have their other end at a node that stays.
    """

    counts: DeletionReport
    types: Mapping[str, int]
    links_cut: int = 0


async def preview_deletion(session: Session, pks: Pks, *, strict: bool = False) -> DeletionPreview:
    """See :meth:`aiidadb.Backend.preview_deletion`."""
    asked = await as_many_pks(pks)
    strict = as_flag(strict, "strict")
    async with session.lane(), session.snapshot():
        rows = await QUERIES["deletion_preview_nodes"].fetch(session, asked)
        found = [row["pk"] for row in rows]
        missing = tuple(sorted(set(asked).difference(found)))
        _require_none(missing, strict=strict)
        hanging = await QUERIES["deletion_preview_rows"].fetchrow(session, found)
    assert hanging is not None
    counts = dict(hanging)
    links_cut = counts.pop("links_cut")
    return DeletionPreview(
        DeletionReport(nodes=len(found), **counts, missing=missing),
        dict(Counter(row["node_type"] for row in rows).most_common()),
        links_cut,
    )


async def delete_nodes_and_connections(
    session: Session,
    pks: Pks,
    *,
    strict: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> DeletionReport:
    """See :meth:`aiidadb.Backend.delete_nodes_and_connections`."""
    asked = await as_many_pks(pks)
    strict = as_flag(strict, "strict")
    require_function(progress, "progress")
    text = await in_turn(array_text(asked))
    async with session.lane(), session.transaction():
        rows = await QUERIES["lock_nodes_to_delete"].fetch(session, text, timeout=NO_TIME_LIMIT)
        missing = tuple(row["pk"] for row in rows)
        _require_none(missing, strict=strict)
        if missing:
            asked = sorted(set(asked).difference(missing))
            text = await in_turn(array_text(asked))
        if not asked:
            return DeletionReport(missing=missing)
        await _warn_of_scans(session)
        # AiiDA's foreign keys are checked at the commit. Checked by each statement they cost less,
        # and a violation can still be distinguished from a lost connection.
        await session.execute("set constraints all immediate")
        mode = await QUERIES["set_plan_cache_mode"].fetchval(session, "force_generic_plan")
        counts = await _delete_all(session, asked, text, progress)
        # As the caller's transaction had it.
        if mode is not None:
            await QUERIES["set_plan_cache_mode"].fetchval(session, mode)
        await session.execute("set constraints all deferred")
    return DeletionReport(**counts, missing=missing)


async def get_nodes_to_delete(
    session: Session,
    pks: Pks,
    *,
    create_forward: bool = True,
    call_calc_forward: bool = True,
    call_work_forward: bool = True,
) -> set[int]:
    """See :meth:`aiidadb.Backend.get_nodes_to_delete`."""
    switched = {
        "create": as_flag(create_forward, "create_forward"),
        "call_calc": as_flag(call_calc_forward, "call_calc_forward"),
        "call_work": as_flag(call_work_forward, "call_work_forward"),
    }
    forward = [*_ALWAYS_FORWARD, *(name for name, is_on in switched.items() if is_on)]
    asked = await in_turn(array_text(await as_many_pks(pks)))
    async with session.lane():
        (row,) = await session.fetch_traversal(
            QUERIES["nodes_to_delete"], asked, forward, list(_ALWAYS_BACKWARD)
        )
    found: set[int] = set()
    await in_turn(grow(found, pks_of_bytes(row["pks"])))
    return found


async def _delete_all(
    session: Session,
    pks: list[int],
    text: str,
    progress: Callable[[int, int], object] | None,
) -> dict[str, int]:
    """Delete nodes that are locked, after all that refers to them; how many rows of each went."""
    counts: Counter[str] = Counter()

    def tell() -> None:
        if progress is not None:
            progress(counts["nodes"], len(pks))

    # Of all nodes together: links have to be locked in one order.
    for what in ("links", "group_memberships", "comments", "logs"):
        counts[what] = await _delete(session, what, text)
        tell()
    for at in range(0, len(pks), _BATCH):
        counts["nodes"] += await _delete(session, "nodes", pks[at : at + _BATCH])
        tell()
    return dict(counts)


async def _delete(session: Session, what: str, pks: list[int] | str) -> int:
    status = await QUERIES[f"delete_{what}"].execute(session, pks, timeout=NO_TIME_LIMIT)
    return int(status.removeprefix("DELETE "))


async def _warn_of_scans(session: Session) -> None:
    for row in await QUERIES["unindexed_references"].fetch(session, "db_dbnode"):
        _LOGGER.warning(
            "deleting nodes will be slow: %s refers to them and has no index; "
            "`aiidadb` expects the indexes that AiiDA makes",
            printable(row["reference"]),
        )


def _require_none(missing: Sequence[int], *, strict: bool) -> None:
    if missing and strict:
        there = "is no node" if len(missing) == 1 else "are no nodes"
        raise NotExistent(f"nothing was deleted: there {there} {list_first(missing)}")
