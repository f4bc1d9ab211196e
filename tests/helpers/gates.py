"""A gate on the server, at which statements wait until a test opens it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from tests.helpers.databases import connected
from tests.helpers.processes import LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

__all__ = ["AT_GATE", "Gate", "gate"]

AT_GATE: Final = "pg_advisory_xact_lock_shared(8)"
"""A function of SQL that returns once the gate of its database is open."""

_WAITING: Final = """
select count(*)
from pg_locks
where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())
"""


class Gate:
    """What a test knows of a gate, and does with it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def is_reached(self) -> None:
        """Wait until a statement waits at the gate."""
        async with asyncio.timeout(LIMIT):
            while not await self._connection.fetchval(_WAITING):
                await asyncio.sleep(0.01)

    async def open(self) -> None:
        """Let what waits go on."""
        await self._connection.execute("select pg_advisory_unlock_all()")


@contextlib.asynccontextmanager
async def gate(dsn: str) -> AsyncIterator[Gate]:
    """Close the gate of a database; it is open again at the end."""
    async with connected(dsn) as connection:
        await connection.execute("select pg_advisory_lock(8)")
        yield Gate(connection)
