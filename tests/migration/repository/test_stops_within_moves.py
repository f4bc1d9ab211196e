"""Stopped within any file, a move leaves all as it was, and the next run finishes it.

A part of a file is what is read in one go: all of a small file, a megabyte of a large one. In each
of them the move is stopped, in each way, in both lines; what comes of the next run equals what a
run that nothing stopped produces from the same database.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from aiidadb.exceptions import DatabaseError, StorageMigrationError
from aiidadb.migration.repository.container import container_path, read_container_id
from aiidadb.migration.repository.container_mark import MARK
from aiidadb.version.schema_version import SchemaVersion
from tests.helpers.cancelling import cancel_when
from tests.helpers.containers import dead_bytes, objects
from tests.helpers.databases import Databases, connected, fetchval, run_script
from tests.helpers.faults import crash, end_of
from tests.helpers.file_parts import strike_in_part
from tests.helpers.migrating import migrate
from tests.helpers.old_database import State, state_of
from tests.helpers.old_nodes import add_files, add_node, entries, snapshot
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from _pytest.mark import ParameterSet

    from aiidadb.demo.embedded_server import EmbeddedServer
    from tests.helpers.cancelling import How

# The step that moves files, in each line.
STEPS: Final = {
    "django": SchemaVersion("django", 47),
    "sqlalchemy": SchemaVersion("sqlalchemy", 46),
}

FILES: Final[Mapping[int, Mapping[str, bytes]]] = {
    0x00: {"a": b"first", "b/c": b"second", "b/d": b"first"},
    0x20: {"large": b"".join(bytes([number]) * 500_000 for number in range(5))},
    0x21: {"a": b"third"},
    0x80: {},
    0xFF: {"a": b"second", "b": b"last"},
}
"""The files of each node, by the number that its uuid begins with."""

# Six files are read together, and the large one in three pieces.
PARTS: Final = 6 + 3

CHOSEN: Final = {("django", 4)}  # in the large file, with others written and others to come


def each_part() -> list[ParameterSet]:
    return [
        pytest.param(
            line,
            part,
            id=f"{line}, part {part + 1} of {PARTS}",
            marks=() if (line, part) in CHOSEN else pytest.mark.thorough,
        )
        for line in STEPS
        for part in range(PARTS)
    ]


within_each_part = pytest.mark.parametrize(("line", "part"), each_part())


def uuid_of(number: int) -> str:
    return f"{number:02x}000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Before:
    """A database whose files are to be moved.

    Attributes:
        dsn: The database.
        repository: Where the files are.
        target: The version after the step.
        files: The files as they are, with their times.
    """

    dsn: str
    repository: Path
    target: str
    files: Mapping[str, tuple[bytes | None, int]]

    async def migrate(self) -> None:
        await migrate(
            self.dsn, self.target, repository=self.repository, export_directory=self.place
        )

    @property
    def place(self) -> Path:
        return self.repository.parent


async def make(databases: Databases, line: str, directory: Path) -> Before:
    step = STEPS[line]

    dsn = await database_at(databases, step.number - 1, step.line)
    async with connected(dsn) as connection:
        for number in FILES:
            await add_node(connection, "data.Data.", uuid_of(number))
    repository = directory / "repository of the profile"
    for number, files in FILES.items():
        add_files(repository, uuid_of(number), files)
    return Before(dsn, repository, str(step), snapshot(repository / "repository"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, State]:
    """What each line's database is after a run that nothing stopped."""
    states = {}
    for line in STEPS:
        made = await make(databases, line, tmp_path_factory.mktemp(line))
        with strike_in_part(None, _fail) as read:
            await made.migrate()
        assert len(read) == PARTS
        states[line] = await state_of(made.dsn)
        await databases.drop(made.dsn)
    return states


def _fail() -> None:
    raise OSError(errno.EIO, "the disk fails")


async def check(
    made: Before,
    before: State,
    undisturbed: State,
    databases: Databases,
    *,
    is_killed: bool = False,
) -> None:
    """All is as it was; the next run produces what an uninterrupted run does."""
    assert await state_of(made.dsn) == before
    assert (made.repository / MARK).exists()
    if not is_killed:
        assert dead_bytes(made.repository) == 0
    begun = read_container_id(made.repository)
    await made.migrate()
    assert await state_of(made.dsn) == undisturbed
    contents = {content for files in FILES.values() for content in files.values()}
    assert sorted(objects(container_path(made.repository)).values()) == sorted(contents)
    assert dead_bytes(made.repository) == 0
    setting = "select val #>> '{}' from db_dbsetting where key = 'repository|uuid'"
    assert begun == read_container_id(made.repository) == await fetchval(made.dsn, setting)
    assert snapshot(made.repository / "repository") == made.files
    assert [path.name for path in entries(made.repository)] == ["container", "repository"]
    await databases.drop(made.dsn)


# ------------------------------------------------------------------ the client


def be_killed_in_part(made: Before, part: int) -> None:
    """Migrate, and be killed within a part of a file. For a process of its own."""
    with strike_in_part(part, functools.partial(os.kill, os.getpid(), signal.SIGKILL)):
        asyncio.run(made.migrate())


@within_each_part
async def test_the_client_killed(
    databases: Databases, undisturbed: Mapping[str, State], tmp_path: Path, line: str, part: int
) -> None:
    made = await make(databases, line, tmp_path)
    before = await state_of(made.dsn)
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=be_killed_in_part, args=(made, part))
    process.start()
    assert await end_of(process) == -signal.SIGKILL
    await check(made, before, undisturbed[line], databases, is_killed=True)


@within_each_part
@pytest.mark.parametrize("how", ["Task.cancel", "asyncio.timeout"])
async def test_cancelled(
    databases: Databases,
    undisturbed: Mapping[str, State],
    tmp_path: Path,
    line: str,
    part: int,
    how: How,
) -> None:
    made = await make(databases, line, tmp_path)
    before = await state_of(made.dsn)
    begun = threading.Event()

    def strike() -> None:
        begun.set()
        time.sleep(0.1)  # until the thread is asked to end; later is late, and right as well

    with strike_in_part(part, strike):
        await cancel_when(begun, made.migrate(), how)
    await check(made, before, undisturbed[line], databases)


# ------------------------------------------------------------------ the server


@pytest.mark.thorough
@within_each_part
async def test_the_server_crashed(
    durable_server: EmbeddedServer,
    durable: Databases,
    undisturbed: Mapping[str, State],
    tmp_path: Path,
    line: str,
    part: int,
) -> None:
    made = await make(durable, line, tmp_path)
    await run_script(durable.server_dsn, "checkpoint")  # a crash takes back nothing done before
    before = await state_of(made.dsn)

    def strike() -> None:
        asyncio.run(crash(durable_server))

    with strike_in_part(part, strike), pytest.raises(DatabaseError):
        await made.migrate()
    await check(made, before, undisturbed[line], durable)


@within_each_part
async def test_the_connection_cut(
    databases: Databases, undisturbed: Mapping[str, State], tmp_path: Path, line: str, part: int
) -> None:
    made = await make(databases, line, tmp_path)
    before = await state_of(made.dsn)
    cut = (
        "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity"
        " where datname = current_database() and application_name like 'aiidadb migrate%'"
    )

    def strike() -> None:
        assert asyncio.run(fetchval(made.dsn, cut)) == 1

    with strike_in_part(part, strike), pytest.raises(DatabaseError):
        await made.migrate()
    await check(made, before, undisturbed[line], databases)


# ------------------------------------------------------------------ again and again


@pytest.mark.thorough
@pytest.mark.parametrize("line", list(STEPS))
async def test_stopped_in_each_part_one_after_the_other(
    databases: Databases, undisturbed: Mapping[str, State], tmp_path: Path, line: str
) -> None:
    """Each run but the first finds what the one before it left."""
    made = await make(databases, line, tmp_path)
    before = await state_of(made.dsn)
    for part in range(PARTS):
        with strike_in_part(part, _fail), pytest.raises(StorageMigrationError, match="disk fails"):
            await made.migrate()
    await check(made, before, undisturbed[line], databases)
