"""Databases at any version of the Django line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

from aiidadb.demo.embedded_server import EmbeddedServer, embedded_server
from tests.helpers.databases import Databases
from tests.helpers.old_database import OldDatabase, make_old_database
from tests.helpers.real_databases import load_dump, unpack
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest_asyncio.fixture
async def legacy(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """The genuine database of AiiDA 0.12.5, at 1.0.8."""
    async with _loaded(databases, "legacy/1_aiida-0.12.5_django_0008") as connection:
        yield connection


@pytest_asyncio.fixture
async def legacy_after_aiida(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """That database after aiida-core 1.6.9 migrated it to 1.0.45."""
    async with _loaded(databases, "legacy/2_after_aiida-1.6.9_django_0045") as connection:
        yield connection


@asynccontextmanager
async def _loaded(databases: Databases, dump: str) -> AsyncIterator[asyncpg.Connection]:
    dsn = await load_dump(databases, dump)
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()
        await databases.drop(dsn)


@pytest.fixture
def legacy_repository(tmp_path: Path) -> Path:
    """A copy of the file repository of ``legacy``."""
    return unpack("legacy/repository_aiida-0.12.5", tmp_path / "legacy_repository")


@pytest_asyncio.fixture
async def old(databases: Databases, tmp_path: Path) -> AsyncIterator[OldDatabase]:
    """A small database at 1.0.1, with something in it for every step."""
    made = await make_old_database(databases, tmp_path / "old_repository")
    yield made
    await databases.drop(made.dsn)


@pytest.fixture(scope="module")
def durable_server() -> Iterator[EmbeddedServer]:
    """A server of its own, which may be stopped, and loses nothing when it is."""
    with embedded_server() as server:
        yield server


@pytest.fixture(scope="module")
def durable(durable_server: EmbeddedServer) -> Databases:
    """Makes databases on it."""
    return Databases(durable_server.dsn)


@pytest.fixture
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of steps go to the current directory where no other is named."""
    monkeypatch.chdir(tmp_path)
