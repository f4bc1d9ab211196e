"""One migration of a database at a time: a lock of the database, and who has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from aiidadb.exceptions import LockTimeout
from aiidadb.messages import plural
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

__all__ = ["LOCK_KEY", "describe_session", "take_lock"]

LOCK_KEY: Final = int.from_bytes(b"aiidadb!", "big")
"""The number of the advisory lock. Such locks are a database's own, so one number serves all."""

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0


async def take_lock(
    connection: asyncpg.Connection, patience: float, waiting: Callable[[str], None]
) -> None:
    """Take the lock; it is given back before the session is closed, and ends with it at the latest.

    Args:
        connection: The one that will migrate.
        patience: How many seconds to wait for another process that has it.
        waiting: Receives, while waiting, what for.

    Raises:
        LockTimeout: Another process kept it; the message says who.
    """
    # Tried repeatedly: a wait inside the server would be a transaction, in the holder's way.
    end = anyio.current_time() + patience
    pause = _FIRST_PAUSE
    while not await QUERIES["migration_lock"].fetchval(connection, LOCK_KEY):
        holder = await QUERIES["migration_lock_holder"].fetchrow(connection, LOCK_KEY)
        who = "a process that has just ended" if holder is None else describe_session(holder)
        if anyio.current_time() >= end:
            raise LockTimeout(
                f"another migration of this database is under way, by {who}; it had not ended "
                f"after {plural(patience, 'second')}: wait for it, or find out whether it hangs, "
                "and run again",
                sqlstate="55P03",
            )
        waiting(f"waiting for another migration, by {who}")
        await anyio.sleep(min(pause, max(end - anyio.current_time(), 0)))
        pause = min(2 * pause, _LONGEST_PAUSE)


def describe_session(row: asyncpg.Record) -> str:
    """Which session of the server it is, for messages.

    Args:
        row: With ``pid``, ``role``, ``application`` and ``since``, each of which may be null.
    """
    known = [
        f"{what} {row[key]}"
        for what, key in (("role", "role"), ("application", "application"))
        if row[key]
    ]
    if row["since"] is not None:
        known.append(f"since {row['since']:%Y-%m-%d %H:%M:%S %Z}")
    return f"server process {row['pid']}" + (f" ({', '.join(known)})" if known else "")
