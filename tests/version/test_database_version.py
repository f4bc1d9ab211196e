"""What is read of a database's version while another process migrates it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

import aiidadb
from aiidadb.exceptions import ConcurrencyError, LockTimeout
from aiidadb.migration import row_counts
from aiidadb.version import database_version
from aiidadb.version.database_version import read_bookkeeping
from aiidadb.version.schema_version import MAIN_HEAD, SchemaVersion
from tests.helpers.choices import some_of
from tests.helpers.databases import connected, run_script
from tests.helpers.faults import (
    BEFORE_THE_COMMIT,
    CHAIN,
    end_of,
    pause,
    start_process,
    trap,
)
from tests.helpers.migrating import migrate, opened
from tests.helpers.old_database import make_old_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from aiidadb.migration.report import MigrationProgress
    from tests.helpers.databases import Databases
    from tests.helpers.old_database import OldDatabase

LIMIT = 120
"""Seconds, for all that waits here."""

DJANGO_END = SchemaVersion("django", 50)
"""Where the step starts that hands a database over to the main line."""

HELD = (
    "0037_attributes_extras_settings_json",  # remakes the table of settings
    "0050_sqlalchemy_parity",  # takes Django's bookkeeping away, and brings Alembic's
)


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of steps go to the current directory."""
    monkeypatch.chdir(tmp_path)


@pytest_asyncio.fixture
async def old(databases: Databases, tmp_path: Path) -> AsyncIterator[OldDatabase]:
    """A small database at 1.0.1, with something in it for every step."""
    made = await make_old_database(databases, tmp_path / "old_repository")
    yield made
    await databases.drop(made.dsn)


@pytest.fixture
def before_the_second_statement(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[asyncpg.Connection, Callable[[], Awaitable[object]]], None]:
    """Let something happen after the first statement that a connection prepares from now on."""
    real = asyncpg.Connection.prepare

    def arrange(connection: asyncpg.Connection, happen: Callable[[], Awaitable[object]]) -> None:
        count = 0

        async def prepare(self: asyncpg.Connection, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += self is connection
            if self is connection and count == 2:
                await happen()
            return await real(self, *arguments, **options)

        monkeypatch.setattr(asyncpg.Connection, "prepare", prepare)

    return arrange


async def test_a_step_that_ends_between_two_looks_is_seen_as_a_whole(
    old: OldDatabase,
    before_the_second_statement: Callable[
        [asyncpg.Connection, Callable[[], Awaitable[object]]], None
    ],
) -> None:
    """At each boundary of the chain."""
    async with opened(old.dsn) as backend, connected(old.dsn) as reader:
        for step in CHAIN:

            async def take_it(version: SchemaVersion = step.version) -> None:
                await backend.schema.migrate(version, without_repository=True)

            before_the_second_statement(reader, take_it)
            assert (await read_bookkeeping(reader)).version() == step.version
    assert step.version == MAIN_HEAD


async def test_a_step_that_is_under_way_is_seen_as_a_whole_or_waited_for(old: OldDatabase) -> None:
    """Each step is held before its commit, with all the locks that it takes, while others read."""
    found: list[tuple[str, asyncio.Task[SchemaVersion]]] = []
    at = ""

    def tell(progress: MigrationProgress) -> None:
        nonlocal at
        at = progress.name

    async def read() -> SchemaVersion:
        async with connected(old.dsn) as reader:
            return (await read_bookkeeping(reader)).version()

    async def look(_migrating: asyncpg.Connection) -> None:
        found.append((at, asyncio.create_task(read())))
        await asyncio.wait((found[-1][1],), timeout=0.1)

    async with asyncio.timeout(LIMIT):
        with trap(None, look, BEFORE_THE_COMMIT):
            await migrate(old.dsn, repository=old.repository, progress=tell)
        await asyncio.gather(*(task for _, task in found))
    # More than once where a reading was in a step's way, so that it was tried again.
    assert list(dict.fromkeys(name for name, _ in found)) == [step.name for step in CHAIN]
    origins = {step.name: step.origin or DJANGO_END for step in CHAIN}
    for name, task in found:
        assert task.result() >= origins[name], name


@pytest.mark.parametrize("name", some_of([step.name for step in CHAIN], chosen=HELD))
async def test_a_step_that_another_process_is_in_is_read_past_or_waited_for(
    old: OldDatabase, tmp_path: Path, name: str
) -> None:
    process = start_process(old.dsn, old.repository, tmp_path, None, pause, name, BEFORE_THE_COMMIT)
    step = next(step for step in CHAIN if step.name == name)
    sleeping = """
        select count(*)
        from pg_stat_activity
        where query = 'select pg_sleep(2)' and datname = current_database()
    """
    async with asyncio.timeout(LIMIT), connected(old.dsn) as watching:
        while not await watching.fetchval(sleeping):
            await asyncio.sleep(0.02)
        async with connected(old.dsn) as reader:
            version = (await read_bookkeeping(reader)).version()
    # On a busy machine it may have gone on by then.
    assert version >= (step.origin or DJANGO_END)
    assert await end_of(process, LIMIT) == 0
    async with connected(old.dsn) as reader:
        assert (await read_bookkeeping(reader)).version() == MAIN_HEAD


@pytest.mark.parametrize("number", some_of([5, 20], chosen=[5]))
async def test_of_many_migrations_at_once_all_end_well(old: OldDatabase, number: int) -> None:
    profile = aiidadb.Profile.from_dsn(old.dsn)

    async def one() -> int:
        async with (
            aiidadb.PoolRegistry() as registry,
            aiidadb.open_backend(
                profile, registry=registry, schema_check=False, max_size=1
            ) as backend,
        ):
            return len((await backend.schema.migrate(without_repository=True)).steps)

    async with asyncio.timeout(LIMIT):
        taken = await asyncio.gather(*(one() for _ in range(number)))
    assert sorted(taken) == [0] * (number - 1) + [len(CHAIN)]


async def test_reading_spoils_no_transaction(
    old: OldDatabase,
    before_the_second_statement: Callable[
        [asyncpg.Connection, Callable[[], Awaitable[object]]], None
    ],
) -> None:
    async def drop() -> None:
        await run_script(old.dsn, "drop table django_migrations")

    async with connected(old.dsn) as reader, reader.transaction():
        before_the_second_statement(reader, drop)
        assert (await read_bookkeeping(reader)).django_steps is None
        assert await reader.fetchval("select 1") == 1


async def test_what_never_holds_still_is_given_up(
    django_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = database_version._look

    async def look(connection: asyncpg.Connection, asked: tuple[str, ...]) -> object:
        if asked:
            raise asyncpg.UndefinedTableError("it is gone")
        return await real(connection, asked)

    monkeypatch.setattr(database_version, "_look", look)
    async with connected(django_dsn) as reader:
        with pytest.raises(ConcurrencyError, match=r"changed while they were read.*try again"):
            await read_bookkeeping(reader)


@pytest.mark.parametrize("version", ["1.0.44", "main_0001"])
async def test_versions_are_set_one_after_the_other(
    django_dsn: str, main_dsn: str, version: str
) -> None:
    dsn = django_dsn if version.startswith("1.") else main_dsn
    # The setting is not there on the main line, nor need it be on the other.
    await run_script(dsn, "delete from db_dbsetting where key = 'db|schemaversion'")
    async with asyncio.timeout(LIMIT), opened(dsn) as backend:
        await asyncio.gather(
            *(backend.schema.set_schema_version_database(version) for _ in range(30))
        )
        assert str(await backend.schema.get_schema_version_database()) == version


async def test_a_plan_is_counted_in_the_version_that_it_starts_from(
    old: OldDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = row_counts.count_rows
    counted = []

    async def count_rows(connection: asyncpg.Connection, *arguments: Any) -> object:
        if not counted:
            await migrate(old.dsn, "1.0.40")  # which drops tables that were to be counted
        counted.append(arguments)
        return await real(connection, *arguments)

    monkeypatch.setattr(row_counts, "count_rows", count_rows)
    async with opened(old.dsn) as backend:
        plan = await backend.schema.plan()
    assert str(plan.origin) == "1.0.40"
    assert len(counted) == 2


WAITING = """
    select exists (
        select from pg_locks
        where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))
    )
"""


async def test_a_plan_gives_way_to_a_step_that_locks_tables_in_another_order(
    old: OldDatabase,
) -> None:
    async with asyncio.timeout(LIMIT), opened(old.dsn) as backend, connected(old.dsn) as step:
        tables = await tables_by_the_order_of_counting(backend, step)
        assert len(tables) > 1
        async with step.transaction():
            await step.execute(f"lock table {tables[-1]} in access exclusive mode")
            planning = asyncio.create_task(backend.schema.plan())
            while not await step.fetchval(WAITING):
                await asyncio.sleep(0.01)
            await step.execute(f"lock table {tables[0]} in access exclusive mode")
        assert (await planning).steps


async def tables_by_the_order_of_counting(
    backend: aiidadb.Backend, connection: asyncpg.Connection
) -> list[str]:
    # Those of the bookkeeping are read before, one statement for all of them.
    there = (await read_bookkeeping(connection)).tables - {"db_dbsetting", "django_migrations"}
    return [table for table in (await backend.schema.plan()).tables if table in there]


async def test_a_plan_does_not_wait_for_ever_for_a_table_that_is_locked(
    old: OldDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far less than a statement may take, however busy the server is.
    monkeypatch.setattr(row_counts, "_PATIENCE", "50ms")
    profile = aiidadb.Profile.from_dsn(old.dsn)
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(profile, schema_check=False, command_timeout=1.2) as backend,
        connected(old.dsn) as other,
        other.transaction(),
    ):
        await other.execute("lock table db_dbnode in access exclusive mode")
        with pytest.raises(LockTimeout):
            await backend.schema.plan()
        async with backend.transaction() as mine:
            before = await mine.fetchval("show lock_timeout")
            with pytest.raises(LockTimeout):
                await backend.schema.plan()
            assert await mine.fetchval("show lock_timeout") == before
