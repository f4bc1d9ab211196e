"""Two migrations of one database: the second waits for the first."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import anyio
import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import (
    LockTimeout,
)
from aiidadb.migration.connection import migrating_connection
from aiidadb.migration.migration_lock import LOCK_KEY
from tests.helpers.migrating import migrate
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from aiidadb.migration.report import MigrationProgress, MigrationReport
    from tests.helpers.databases import Databases
    from tests.helpers.old_database import OldDatabase

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


async def test_a_second_migration_waits_and_finds_what_is_left(old: OldDatabase) -> None:
    waiting: list[str] = []
    results: dict[str, MigrationReport] = {}

    async def one(name: str, target: str) -> None:
        results[name] = await migrate(
            old.dsn, target, progress=lambda told: waiting.append(told.what)
        )

    profile = aiidadb.Profile.from_dsn(old.dsn)
    async with (
        anyio.create_task_group() as tasks,
        migrating_connection(profile, patience=1, waiting=print),
    ):
        tasks.start_soon(one, "first", "1.0.10")
        tasks.start_soon(one, "second", "1.0.10")
        while not any(what.startswith("waiting for another migration") for what in waiting):
            await anyio.sleep(0.01)
        assert results == {}
    assert sorted(len(report.steps) for report in results.values()) == [0, 9]
    text = next(what for what in waiting if what.startswith("waiting"))
    assert f"aiidadb migrate, process {os.getpid()} on" in text


async def test_waiting_for_another_migration_has_an_end_that_names_it(old: OldDatabase) -> None:
    connection = await asyncpg.connect(old.dsn, server_settings={"application_name": "somebody"})
    await connection.execute(f"select pg_advisory_lock({LOCK_KEY})")
    with pytest.raises(LockTimeout, match=r"another migration.*somebody.*after 0\.2 seconds"):
        await migrate(old.dsn, patience=0.2)
    await connection.close()
    assert len((await migrate(old.dsn, "1.0.2")).steps) == 1


@pytest.mark.parametrize("how", ["done", "failed"])
async def test_a_session_that_lasts_beyond_its_migration_does_not_keep_the_next_one_waiting(
    old: OldDatabase, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The server ends sessions when it gets to it."""

    async def close(_connection: asyncpg.Connection) -> None:
        pass

    def stop(told: MigrationProgress) -> None:
        if how == "failed":
            raise ZeroDivisionError(told.what)

    left: list[asyncpg.Connection] = []
    terminate = asyncpg.Connection.terminate
    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "close", close)
        patched.setattr(asyncpg.Connection, "terminate", lambda one: left.append(one))
        with pytest.raises(ZeroDivisionError) if how == "failed" else contextlib.nullcontext():
            await migrate(old.dsn, "1.0.2", patience=0, progress=stop)
    assert left
    assert str((await migrate(old.dsn, "1.0.3", patience=0)).version) == "1.0.3"
    for connection in left:
        terminate(connection)


async def test_the_lock_is_the_database_s_own(databases: Databases, old: OldDatabase) -> None:
    other = await database_at(databases, 1)
    profile = aiidadb.Profile.from_dsn(other)
    async with migrating_connection(profile, patience=1, waiting=print):
        assert len((await migrate(old.dsn, "1.0.2", patience=0)).steps) == 1
    await databases.drop(other)
