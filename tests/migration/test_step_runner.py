"""One step: completely or not at all, whatever it fails at and waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import asyncpg
import pytest

from aiidadb.exceptions import (
    LockTimeout,
    StorageMigrationError,
)
from aiidadb.migration import runner
from aiidadb.migration.checks.before_migrating import Looked
from aiidadb.migration.findings import MigrationCheck
from tests.helpers.catalog import describe
from tests.helpers.databases import Databases, run_script
from tests.helpers.migrating import migrate, opened
from tests.helpers.old_database import OldDatabase, state_of
from tests.helpers.single_steps import database_at
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from pathlib import Path

    from tests.migration.conftest import At

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


async def test_a_step_and_its_bookkeeping_are_one_transaction(
    databases: Databases,
) -> None:
    dsn = await database_at(databases, 13)
    # The bookkeeping of 0014 fails, after all of the step itself is done.
    await run_script(
        dsn, "alter table django_migrations add constraint none check (name not like '0014%')"
    )
    before = await state_of(dsn)
    with pytest.raises(StorageMigrationError, match=r"django_0014.*undone.*at 1\.0\.13.*none"):
        await migrate(dsn)
    assert await state_of(dsn) == before
    await databases.drop(dsn)


async def test_a_step_that_fails_is_named_with_the_server_s_advice(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_nothing(*_: object) -> Looked:
        return Looked(MigrationCheck(), {}, None)

    # As where the rows come after the check.
    monkeypatch.setattr(runner, "check_or_refuse", find_nothing)
    dsn = await database_at(databases, 8)
    connection = await asyncpg.connect(dsn)
    for _ in range(2):
        await insert(connection, "db_dbnode", uuid="01234567-89ab-4def-8123-456789abcdef")
    with pytest.raises(
        StorageMigrationError,
        match=(
            r"django_0014 \(0014_add_node_uuid_unique_constraint\) was undone, and the database is "
            r"at 1\.0\.13: .*2 rows.*apply_new_uuid_mapping"
        ),
    ) as raised:
        await migrate(dsn)
    assert "\n" not in str(raised.value)
    async with opened(dsn) as backend:
        assert str(backend.version) == "1.0.13"
        # Put right as the message says, it goes on.
        await connection.execute(
            """
            update db_dbnode set uuid = gen_random_uuid()
            where id = (select min(id) from db_dbnode)
            """
        )
        await connection.close()
        assert len((await backend.schema.migrate("1.0.18")).steps) == 5
    await databases.drop(dsn)


async def test_what_is_cleared_away_after_the_commit_may_fail(
    old: OldDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiidadb.migration.repository import move_files as repository

    def fail(_directory: Path) -> None:
        raise OSError("not today")

    monkeypatch.setattr(repository, "remove_mark", fail)
    report = await migrate(old.dsn, repository=old.repository, export_directory=tmp_path)
    assert str(report.version) == "main_0002"
    assert any("clearing away" in note and "not today" in note for note in report.notes)


async def test_a_reader_keeps_a_step_waiting_and_other_readers_go_on(old: OldDatabase) -> None:
    """A change that waits for its lock would keep all later readers out."""
    reader, other = [await asyncpg.connect(old.dsn) for _ in range(2)]
    holding = reader.transaction()
    await holding.start()
    await reader.fetch("select * from db_dblink")
    told: list[str] = []
    slowest = 0.0
    done = anyio.Event()

    async def run() -> None:
        report = await migrate(old.dsn, "1.0.4", progress=lambda one: told.append(one.what))
        assert len(report.steps) == 3
        done.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while sum(what.startswith("waiting:") for what in told) < 2:
                begin = anyio.current_time()
                await other.fetch("select count(*) from db_dblink")
                slowest = max(slowest, anyio.current_time() - begin)
                await anyio.sleep(0.02)
            assert not done.is_set()
            await holding.commit()
    assert done.is_set()
    assert slowest < 1.5 + 10  # the time that the change waits for its lock, on a busy day
    text = next(what for what in told if what.startswith("waiting:"))
    assert f"db_dblink is used by server process {reader.get_server_pid()}" in text
    for connection in (reader, other):
        await connection.close()


async def test_waiting_for_a_table_has_an_end_that_names_who_has_it(old: OldDatabase) -> None:
    reader = await asyncpg.connect(old.dsn, server_settings={"application_name": "a notebook"})
    async with reader.transaction():
        await reader.fetch("select * from db_dblink")
        with pytest.raises(
            LockTimeout, match=r"django_0003.*at 1\.0\.2: .*db_dblink is used.*a notebook"
        ):
            await migrate(old.dsn, patience=0.5)
    await reader.close()
    async with opened(old.dsn) as backend:
        assert str(backend.version) == "1.0.2"


async def test_describe_tells_two_versions_apart(at: At) -> None:
    """What the tests of faults compare by would be worth nothing otherwise."""
    assert await describe(await at(13)) != await describe(await at(14))
