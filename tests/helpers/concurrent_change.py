"""A change that another connection commits while a call is between two of its questions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["change_after_first_question"]


@contextlib.asynccontextmanager
async def change_after_first_question(dsn: str, change: str) -> AsyncIterator[None]:
    """Commit a change once the first question on nodes has been answered inside.

    Args:
        dsn: Of the database that is asked.
        change: Statements of SQL.
    """
    other = await asyncpg.connect(dsn)
    real_fetch, committed = asyncpg.Connection.fetch, False

    async def fetch(self: asyncpg.Connection, query: str, *arguments: Any, **options: Any) -> Any:
        nonlocal committed
        rows = await real_fetch(self, query, *arguments, **options)
        if not committed and any(name in query for name in ("db_dbnode", "db_dblink")):
            committed = True
            await other.execute(change)
        return rows

    asyncpg.Connection.fetch = fetch
    try:
        yield
    finally:
        asyncpg.Connection.fetch = real_fetch
        await other.close()
    assert committed, "no question on nodes was asked"
