"""Patience with others who hold tables that a migration needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import asyncpg

from aiidadb.exceptions import LockTimeout
from aiidadb.messages import plural
from aiidadb.migration.migration_lock import describe_session
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["LOCKED", "with_patience"]

T = TypeVar("T")

LOCKED: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
"""What the server raises where another session has what is needed."""

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0
_NAMED_AT_MOST: Final = 3


async def with_patience(
    attempt: Callable[[], Awaitable[T]],
    connection: asyncpg.Connection,
    tables: Sequence[str],
    seconds: float,
    *,
    waiting: Callable[[str], None],
    failed: str,
) -> T:
    """Retry while another session holds a table, until patience ends.

    Args:
        attempt: What is tried. It is undone where it raises one of :data:`LOCKED`.
        connection: The one that it uses.
        tables: The tables that it needs.
        seconds: How long to keep trying.
        waiting: Receives, before each pause, what it waits for.
        failed: What to say at the end, before what is in the way.

    Raises:
        LockTimeout: Others did not release the table in time.
    """
    end = anyio.current_time() + seconds
    pause = _FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except LOCKED as error:
            blockers = await _blockers(connection, tables)
            if anyio.current_time() >= end:
                raise LockTimeout(
                    f"{failed} within {plural(seconds, 'second')}: {blockers}; end that and run "
                    "again",
                    sqlstate="55P03",
                ) from error
            waiting(f"waiting: {blockers}")
            await anyio.sleep(min(pause, max(end - anyio.current_time(), 0)))
            pause = min(2 * pause, _LONGEST_PAUSE)


async def _blockers(connection: asyncpg.Connection, tables: Sequence[str]) -> str:
    rows = await QUERIES["migration_blockers"].fetch(connection, list(tables))
    if not rows:
        return "another session used them"
    return "; ".join(
        f"{row['table_name']} is used by {describe_session(row)}" for row in rows[:_NAMED_AT_MOST]
    )
