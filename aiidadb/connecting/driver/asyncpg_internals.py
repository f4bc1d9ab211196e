"""The private parts of asyncpg that are used: all of them are here, and nowhere else.

A new version may rename any of it, so ``pyproject.toml`` sets an upper bound for asyncpg. They were
checked against the sources of 0.30, 0.31 and 0.32.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    import asyncpg

__all__ = [
    "behind",
    "close_cursor",
    "command_timeout_of",
    "give_back_at_once",
    "has_one_at_hand",
    "read_at_most",
    "request_cancellation",
    "set_command_timeout",
    "socket_of",
    "was_lost",
]


def behind(connection: asyncpg.Connection) -> asyncpg.Connection | None:
    """What stands behind a pool's proxy; None once the pool has it back.

    Args:
        connection: Of a pool, or one that stands alone, which is given back as it is.
    """
    return getattr(connection, "_con", connection)


async def close_cursor(cursor: asyncpg.cursor.Cursor) -> None:
    """Let the server forget a cursor before the end of its transaction."""
    await cursor._close_portal(None)


async def request_cancellation(connection: asyncpg.Connection) -> None:
    """Ask the server to cancel what it is doing for a connection.

    Args:
        connection: One that is not a pool's proxy.
    """
    # The driver reports on the request in a future, which is of no use here, and is left alone
    # where it has a result.
    told = asyncio.get_running_loop().create_future()
    told.set_result(None)
    await connection._cancel(told)


def command_timeout_of(connection: asyncpg.Connection) -> float | None:
    """Seconds that a connection gives each statement; None: no bound."""
    seconds: float | None = connection._config.command_timeout
    return seconds


def set_command_timeout(connection: asyncpg.Connection, seconds: float | None) -> None:
    """Change what :func:`command_timeout_of` gives."""
    connection._config = connection._config._replace(command_timeout=seconds)


def socket_of(connection: asyncpg.Connection) -> socket.socket | None:
    """The socket that a connection is on; None where it is closed."""
    transport: asyncio.Transport | None = getattr(connection, "_transport", None)
    return None if transport is None else transport.get_extra_info("socket")


def was_lost(connection: asyncpg.Connection, most_queries: int) -> bool:
    """Whether a pool's connection that has ended was ended by the other side.

    Args:
        connection: One that is not a pool's proxy. It was terminated by us or by the pool, or the
            pool closed it after so many statements, or it was lost.
        most_queries: The pool's ``max_queries``.
    """
    return not connection._aborted and connection._protocol.queries_count < most_queries


def read_at_most(connection: asyncpg.Connection, number: int) -> None:
    """Let a connection take so many bytes at a time from its socket, where its loop can do that.

    The driver decodes all that has come before anything else on the event loop has a turn.
    """
    transport: Any = getattr(connection, "_transport", None)
    if hasattr(transport, "max_size"):
        transport.max_size = number


def has_one_at_hand(pool: asyncpg.Pool) -> bool:
    """Whether ``pool.acquire()`` would give a connection without waiting for anything."""
    free = pool._queue._queue  # the last of them comes first
    return (
        bool(free)
        and free[-1].is_connected()
        and free[-1]._generation == pool._generation
        and pool._setup is None
    )


def give_back_at_once(
    pool: asyncpg.Pool,
    connection: asyncpg.Connection,
    reset: Callable[[asyncpg.Connection], Awaitable[None]],
) -> bool:
    """Give a connection back without its reset, where nothing has to be waited for.

    ``pool.release`` makes a task for that, which costs as much as a third of a small query.

    Args:
        pool: The pool.
        connection: Of the pool. Nothing is under way on it, and its session is as it was.
        reset: What the pool must reset its connections with for this to be right.

    Returns:
        Whether it was given back; otherwise it is left as it was, for ``pool.release``.
    """
    held, holder = connection._con, connection._holder
    if (
        pool._reset is not reset
        or held is None
        or held.is_closed()
        or held.is_in_transaction()
        or held._protocol._is_cancelling()
        or held._protocol.queries_count >= holder._max_queries
        or holder._generation != pool._generation
    ):
        return False
    held._on_release()
    holder._timeout = None
    holder._release()
    holder._setup_inactive_callback()
    return True
