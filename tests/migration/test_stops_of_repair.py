"""Stopped within the repair, nothing is mended; the next run mends it and goes on."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from typing import TYPE_CHECKING

import anyio
import pytest
import pytest_asyncio

from aiidadb.exceptions import DatabaseError, LockTimeout, UnknownOutcome, UnreachableStorage
from tests.helpers.cancelling import cancel_when
from tests.helpers.databases import Databases, connected, run_script
from tests.helpers.faults import (
    AFTER_ITS_FIRST_SCRIPT,
    BEFORE_THE_COMMIT,
    die,
    end_of,
    proxy,
    start_process,
    take_long,
    trap,
)
from tests.helpers.migrating import migrate
from tests.helpers.old_database import State, state_of
from tests.helpers.single_steps import database_at
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import asyncpg

    from aiidadb.migration.report import MigrationProgress, MigrationReport
    from tests.helpers.cancelling import How

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")

REPAIR = "repair"
TARGET = "1.0.33"
MENDED = 4  # texts, in two tables
POINTS = {
    "after its first statement": AFTER_ITS_FIRST_SCRIPT,
    "before the commit": BEFORE_THE_COMMIT,
}
each_point = pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)


async def make_database(databases: Databases) -> str:
    async def build(dsn: str) -> None:
        written = r'{"a": "\u0000"}'
        async with connected(dsn) as connection:
            user = await insert(connection, "db_dbuser", email="ada@epfl.ch")
            computer = await insert(
                connection,
                "db_dbcomputer",
                name="daint",
                metadata=written,
                transport_params=written,
            )
            await insert(
                connection,
                "db_dbauthinfo",
                aiidauser_id=user,
                dbcomputer_id=computer,
                metadata=written,
                auth_params=written,
            )

    await databases.drop(await database_at(databases, 32))  # brings the template
    template = await databases.template("to_be_mended", build, base="replayed_0032")
    return await databases.create(template)


@pytest.fixture
async def dsn(databases: Databases) -> AsyncIterator[str]:
    """A database with rows that 0033 stops at, and that can be mended."""
    made = await make_database(databases)
    yield made
    await databases.drop(made)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(databases: Databases) -> State:
    """What that database is after a migration that nothing stopped."""
    made = await make_database(databases)
    report = await migrate(made, TARGET, repair=True)
    assert [(step.name, step.rows) for step in report.steps[:1]] == [(REPAIR, MENDED)]
    state = await state_of(made)
    await databases.drop(made)
    return state


async def check_next_run(
    dsn: str,
    undisturbed: State,
    progress: Callable[[MigrationProgress], None] | None = None,
    *,
    mended: bool = False,
) -> MigrationReport:
    """Run again, and compare with what is there where nothing went wrong."""
    report = await migrate(dsn, TARGET, repair=True, progress=progress)
    assert [step.name for step in report.steps].count(REPAIR) == (not mended)
    assert await state_of(dsn) == undisturbed
    return report


# ------------------------------------------------------------------ stopped


@each_point
async def test_a_client_killed_in_the_repair_leaves_all_as_it_was(
    dsn: str, undisturbed: State, tmp_path: Path, point: int | None
) -> None:
    before = await state_of(dsn)
    process = start_process(
        dsn, None, tmp_path, None, die, REPAIR, point, target=TARGET, repair=True
    )
    assert await end_of(process) == -signal.SIGKILL
    assert await state_of(dsn) == before
    await check_next_run(dsn, undisturbed)


@each_point
async def test_a_connection_cut_in_the_repair_leaves_all_as_it_was(
    dsn: str, undisturbed: State, point: int | None
) -> None:
    before = await state_of(dsn)

    async def cut(connection: asyncpg.Connection) -> None:
        await run_script(dsn, f"select pg_terminate_backend({connection.get_server_pid()})")
        await asyncio.sleep(0.01)

    with trap(REPAIR, cut, point), pytest.raises(DatabaseError, match=REPAIR) as raised:
        await migrate(dsn, TARGET, repair=True)
    expected = UnknownOutcome if point is BEFORE_THE_COMMIT else UnreachableStorage
    assert type(raised.value) is expected
    assert await state_of(dsn) == before
    await check_next_run(dsn, undisturbed)


@pytest.mark.quick
@pytest.mark.parametrize("how", ["Task.cancel", "asyncio.timeout"])
async def test_cancelled_in_the_repair_all_is_left_as_it_was(
    dsn: str, undisturbed: State, how: How
) -> None:
    before = await state_of(dsn)
    begun = threading.Event()

    async def wait(connection: asyncpg.Connection) -> None:
        begun.set()
        await take_long(connection)

    with trap(REPAIR, wait, AFTER_ITS_FIRST_SCRIPT):
        await cancel_when(begun, migrate(dsn, TARGET, repair=True), how)
    assert await state_of(dsn) == before
    await check_next_run(dsn, undisturbed)


async def test_killed_after_the_repair_it_is_not_repaired_again(
    dsn: str, undisturbed: State, tmp_path: Path
) -> None:
    process = start_process(
        dsn,
        None,
        tmp_path,
        None,
        die,
        "0033_replace_text_field_with_json_field",
        AFTER_ITS_FIRST_SCRIPT,
        target=TARGET,
        repair=True,
    )
    assert await end_of(process) == -signal.SIGKILL
    report = await check_next_run(dsn, undisturbed, mended=True)
    assert report.findings == ()


async def test_a_commit_of_the_repair_whose_answer_is_lost_is_told_as_that(
    dsn: str, undisturbed: State
) -> None:
    async with proxy(dsn) as between:

        async def lose_the_answer(_connection: asyncpg.Connection) -> None:
            between.cut_at_next_answer = True

        with (
            trap(REPAIR, lose_the_answer, BEFORE_THE_COMMIT),
            pytest.raises(UnknownOutcome, match=r"repair.*run again"),
        ):
            await migrate(between.dsn, TARGET, repair=True)
    await check_next_run(dsn, undisturbed, mended=True)


# ------------------------------------------------------------------ others at work


async def test_the_repair_waits_for_others_that_hold_a_table(dsn: str, undisturbed: State) -> None:
    """They let the check read, and the repair not write."""
    told: list[MigrationProgress] = []
    async with connected(dsn) as other, anyio.create_task_group() as tasks, other.transaction():
        await other.execute("lock table db_dbcomputer in share mode")
        with anyio.fail_after(30):
            tasks.start_soon(check_next_run, dsn, undisturbed, told.append)
            while not any("waiting" in one.what for one in told):
                await anyio.sleep(0.05)


async def test_the_repair_gives_up_where_others_hold_a_table_for_too_long(
    dsn: str, undisturbed: State
) -> None:
    before = await state_of(dsn)
    async with connected(dsn) as other, other.transaction():
        await other.execute("lock table db_dbcomputer in share mode")
        with pytest.raises(LockTimeout, match=r"repair.*db_dbcomputer is used by"):
            await migrate(dsn, TARGET, repair=True, patience=0)
    assert await state_of(dsn) == before
    await check_next_run(dsn, undisturbed)


@pytest.mark.thorough
async def test_of_twenty_processes_that_repair_at_once_all_end_well(
    dsn: str, undisturbed: State, tmp_path: Path
) -> None:
    answers = [tmp_path / f"{number}.json" for number in range(20)]
    processes = [
        start_process(dsn, None, tmp_path, answer, target=TARGET, repair=True) for answer in answers
    ]
    for process in processes:
        assert await end_of(process) == 0
    results = [json.loads(answer.read_text("utf-8")) for answer in answers]
    assert sorted(results, key=str) == [0] * 19 + [2]  # the repair and the one step
    assert await state_of(dsn) == undisturbed
