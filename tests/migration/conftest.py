"""Databases at any version of the Django line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import asyncpg
import pytest_asyncio

from tests.migration.steps import database_at

if TYPE_CHECKING:
    from tests.databases import Databases

At = Callable[[int], Awaitable[asyncpg.Connection]]


@pytest_asyncio.fixture
async def at(databases: Databases) -> AsyncIterator[At]:
    """``await at(13)`` connects to a database of its own at version 1.0.13, without a node."""
    made: list[tuple[str, asyncpg.Connection]] = []

    async def connect(version: int) -> asyncpg.Connection:
        dsn = await database_at(databases, version)
        connection = await asyncpg.connect(dsn)
        made.append((dsn, connection))
        return connection

    yield connect
    for dsn, connection in made:
        await connection.close()
        await databases.drop(dsn)
