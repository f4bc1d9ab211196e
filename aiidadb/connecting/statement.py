"""Ending what a connection is doing: on the server, or together with the connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncpg

__all__ = ["RELEASE_TIMEOUT", "cancel_statement", "cut"]

RELEASE_TIMEOUT: Final = 5.0
"""Seconds that a connection gets to be given back clean before it is cut."""

_TIMEOUT: Final = 1.0
"""Seconds for the request, which travels on a connection of its own and has no answer."""


async def cancel_statement(connection: asyncpg.Connection) -> None:
    """Ask the server to cancel what it is doing for a connection; nothing where that is nothing.

    The driver asks by itself where the task that waits for a statement is cancelled. This is for
    where somebody else wants the end of it, and whoever waits is to have the server's answer.

    Args:
        connection: Of a pool, or one that stands alone. It is cut where the server cannot be asked
            in time: a request that arrives late would cancel what the connection does next.
    """
    behind = _behind(connection)
    if behind is None or behind.is_closed():
        return
    # The driver's request has no public name. It tells of itself in a future, which is of no use
    # here, and is left alone where it has a result.
    told = asyncio.get_running_loop().create_future()
    told.set_result(None)
    try:
        await asyncio.wait_for(behind._cancel(told), _TIMEOUT)  # noqa: SLF001
    except TimeoutError:
        behind.terminate()


def cut(connection: asyncpg.Connection) -> None:
    """Close a connection without a word to the server; nothing where it is closed already.

    Args:
        connection: As for :func:`cancel_statement`.
    """
    if (behind := _behind(connection)) is not None:
        behind.terminate()


def _behind(connection: asyncpg.Connection) -> asyncpg.Connection | None:
    """What stands behind a pool's proxy; None once the pool has it back."""
    return getattr(connection, "_con", connection)
