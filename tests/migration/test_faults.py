"""Stopped anywhere, a database is wholly at one version, and the next run finishes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
import resource
import signal
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import (
    AiidaDbError,
    DatabaseError,
    ResourceError,
    UnknownOutcome,
    UnreachableStorage,
)
from aiidadb.migration.repository import container
from aiidadb.version.sqlalchemy_revisions import REVISIONS
from tests.helpers.cancelling import cancel_when
from tests.helpers.catalog import describe
from tests.helpers.databases import Databases, connected, run_script
from tests.helpers.faults import (
    AFTER_ITS_FIRST_SCRIPT,
    BEFORE_THE_COMMIT,
    CHAIN,
    SQLALCHEMY_CHAIN,
    crash,
    die,
    end_of,
    proxy,
    restart,
    start_process,
    take_long,
    trap,
)
from tests.helpers.old_database import (
    OldDatabase,
    State,
    make_old_database,
    state_of,
)
from tests.helpers.processes import LIMIT
from tests.helpers.single_steps import database_at
from tests.helpers.sqlalchemy_database import make_first_database
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from aiidadb.demo.embedded_server import EmbeddedServer
    from aiidadb.migration.report import MigrationProgress, MigrationReport
    from aiidadb.migration.step_file import MigrationStep
    from tests.helpers.cancelling import How

POINTS = (AFTER_ITS_FIRST_SCRIPT, BEFORE_THE_COMMIT)


@dataclasses.dataclass(frozen=True)
class Way:
    """The way of a line to the newest version.

    Attributes:
        start: The version that it begins with.
        chain: Its steps.
        make: Makes a database at the start, with files.
    """

    start: str
    chain: Sequence[MigrationStep]
    make: Callable[[Databases, Path], Awaitable[OldDatabase]]

    @property
    def versions(self) -> list[str]:
        return [self.start, *(str(step.version) for step in self.chain)]


DJANGO = Way("1.0.1", CHAIN, make_old_database)
SQLALCHEMY = Way(REVISIONS[0], SQLALCHEMY_CHAIN, make_first_database)

# One step of each kind: of SQL alone, in Python, with files, from line to line, and the last.
ONE_OF_EACH_KIND = (
    "0014_add_node_uuid_unique_constraint",
    "0037_attributes_extras_settings_json",
    "0047_migrate_repository",
    "hand_over",
    "0002_recompute_hash_calc_job_node",
)
SOME_OF_SQLALCHEMY = (
    "02_70c7d732f1b2_delete_dbpath",  # notes a revision where there was none
    "46_1feaea71bd5a_migrate_repository",
    *ONE_OF_EACH_KIND[3:],
)
each_step = pytest.mark.parametrize(
    ("way", "steps"),
    [
        pytest.param(
            DJANGO, [step for step in CHAIN if step.name in ONE_OF_EACH_KIND], id="some steps"
        ),
        pytest.param(DJANGO, CHAIN, id="every step", marks=pytest.mark.thorough),
        pytest.param(
            SQLALCHEMY,
            [step for step in SQLALCHEMY_CHAIN if step.name in SOME_OF_SQLALCHEMY],
            id="some steps of SQLAlchemy",
        ),
        pytest.param(
            SQLALCHEMY,
            SQLALCHEMY_CHAIN,
            id="every step of SQLAlchemy",
            marks=pytest.mark.thorough,
        ),
    ],
)


async def migrate(
    old: OldDatabase, target: str | None = None, **options: object
) -> MigrationReport:
    profile = aiidadb.Profile.from_dsn(old.dsn, repository=old.repository)
    exports = old.repository.parent / "exports"
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        return await backend.schema.migrate(target, export_directory=exports, **options)


async def version_of(old: OldDatabase) -> str:
    profile = aiidadb.Profile.from_dsn(old.dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        return str(await backend.schema.get_schema_version_database())


async def checkpoint(databases: Databases) -> None:
    """Let no crash take back what a new database was copied from.

    PostgreSQL copies a sequence into a new database as it is in memory. Up to the next checkpoint
    a crash takes it back to that, and it gives numbers out a second time.
    """
    await run_script(databases.server_dsn, "checkpoint")


class States:
    """What the old database is at each version when nothing goes wrong, found when asked for."""

    def __init__(self, databases: Databases, directory: Path, way: Way = DJANGO) -> None:
        self._databases = databases
        self._way = way
        self._directory = directory
        self._found: dict[str, State] = {}
        self._old: OldDatabase | None = None
        self._reached = 0  # by that database, which does not go back

    async def at(self, version: str) -> State:
        if version not in self._found:
            place = self._way.versions.index(version)
            if self._old is None or place < self._reached:
                self._old = await self._way.make(self._databases, self._directory / version)
                await checkpoint(self._databases)
            await migrate(self._old, version)
            self._reached = place
            self._found[version] = await state_of(self._old.dsn)
        return self._found[version]


@pytest.fixture(scope="module")
def states(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> States:
    return States(databases, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def states_of_sqlalchemy(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> States:
    return States(databases, tmp_path_factory.mktemp("undisturbed"), SQLALCHEMY)


@pytest.fixture
def states_on_way(way: Way, states: States, states_of_sqlalchemy: States) -> States:
    """Those of the line that the test is about."""
    return states if way is DJANGO else states_of_sqlalchemy


@pytest.fixture
async def on_way(way: Way, databases: Databases, tmp_path: Path) -> AsyncIterator[OldDatabase]:
    """A database of the line that the test is about."""
    made = await way.make(databases, tmp_path / "old_repository")
    yield made
    await databases.drop(made.dsn)


async def walk(
    old: OldDatabase,
    states: States,
    steps: Sequence[MigrationStep],
    strike: Callable[[str, int | None], Awaitable[None]],
    *,
    in_turn: bool = False,
) -> None:
    """Be struck in each of some steps, and find the database as it was before the step.

    Each run but the first goes on from a run that was stopped. With `in_turn`, a step is struck at
    one of the points, the next one at the other.
    """
    for position, step in enumerate(steps):
        before = str(step.origin)
        await migrate(old, before)
        for point in POINTS[position % 2 :][:1] if in_turn else POINTS:
            await strike(step.name, point)
            assert await version_of(old) == before, (step.name, point)
            assert await state_of(old.dsn) == await states.at(before), (step.name, point)
    assert len((await migrate(old)).steps) == 1
    assert await state_of(old.dsn) == await states.at("main_0002")


async def until_no_session_is_left(dsn: str) -> None:
    """Wait until the server has ended the session of a migration, a moment after its client."""
    query = """
        select count(*) from pg_stat_activity
        where datname = current_database() and application_name like 'aiidadb migrate%'
    """
    async with asyncio.timeout(20), connected(dsn) as connection:
        while await connection.fetchval(query):
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------ the client


@each_step
async def test_a_client_killed_in_any_step_leaves_the_version_before_it(
    on_way: OldDatabase, states_on_way: States, steps: Sequence[MigrationStep]
) -> None:
    exports = on_way.repository.parent / "exports"

    async def kill(step_name: str, point: int | None) -> None:
        process = start_process(on_way.dsn, on_way.repository, exports, None, die, step_name, point)
        assert await end_of(process) == -signal.SIGKILL, step_name

    await walk(on_way, states_on_way, steps, kill, in_turn=True)
    assert container.read_container_id(on_way.repository) == await repository_uuid(on_way.dsn)


@each_step
async def test_a_connection_cut_in_any_step_leaves_the_version_before_it(
    on_way: OldDatabase, states_on_way: States, steps: Sequence[MigrationStep]
) -> None:
    async def cut(connection: asyncpg.Connection) -> None:
        await run_script(on_way.dsn, f"select pg_terminate_backend({connection.get_server_pid()})")
        await asyncio.sleep(0.01)

    async def strike(step_name: str, point: int | None) -> None:
        with trap(step_name, cut, point), pytest.raises(DatabaseError) as raised:
            await migrate(on_way)
        if point is BEFORE_THE_COMMIT:
            assert isinstance(raised.value, UnknownOutcome)
            assert "run again" in str(raised.value)
        else:
            assert isinstance(raised.value, UnreachableStorage)
        assert step_name in str(raised.value)

    await walk(on_way, states_on_way, steps, strike)


@each_step
async def test_a_migration_cancelled_in_any_step_leaves_the_version_before_it(
    on_way: OldDatabase, states_on_way: States, steps: Sequence[MigrationStep]
) -> None:
    async def strike(step_name: str, point: int | None) -> None:
        with anyio.CancelScope() as scope:

            async def cancel(_connection: asyncpg.Connection) -> None:
                scope.cancel()

            with trap(step_name, cancel, point):
                await migrate(on_way)
        if point is BEFORE_THE_COMMIT:
            # Nothing is awaited between the strike and the commit, which is not cut short.
            assert scope.cancel_called
        else:
            assert scope.cancelled_caught
            await until_no_session_is_left(on_way.dsn)

    for step in steps:
        await migrate(on_way, str(step.origin))
        await strike(step.name, AFTER_ITS_FIRST_SCRIPT)
        assert await version_of(on_way) == str(step.origin)
        assert await state_of(on_way.dsn) == await states_on_way.at(str(step.origin))
        await strike(step.name, BEFORE_THE_COMMIT)
        assert await state_of(on_way.dsn) == await states_on_way.at(str(step.version))


@pytest.mark.thorough
@each_step
@pytest.mark.parametrize("how", ["Task.cancel", "asyncio.timeout"])
async def test_a_task_cancelled_in_any_step_leaves_the_version_before_it(
    on_way: OldDatabase, states_on_way: States, steps: Sequence[MigrationStep], how: How
) -> None:
    async def strike(step_name: str, point: int | None) -> None:
        begun = threading.Event()

        async def wait(_connection: asyncpg.Connection) -> None:
            begun.set()
            await asyncio.sleep(LIMIT)

        with trap(step_name, wait, point):
            await cancel_when(begun, migrate(on_way), how)
        await until_no_session_is_left(on_way.dsn)

    await walk(on_way, states_on_way, steps, strike, in_turn=True)


async def wait_for_statement(dsn: str) -> None:
    """Wait until the migration is in the statement that takes long."""
    connection = await asyncpg.connect(dsn)
    with anyio.fail_after(20):
        while not await connection.fetchval(
            """
            select count(*) from pg_stat_activity
            where datname = current_database() and wait_event = 'PgSleep'
            """
        ):
            await anyio.sleep(0.02)
    await connection.close()


async def test_the_lock_of_a_killed_client_does_not_wait_for_its_statement(
    old: OldDatabase,
) -> None:
    exports = old.repository.parent / "exports"
    process = start_process(
        old.dsn, old.repository, exports, None, take_long, CHAIN[0].name, AFTER_ITS_FIRST_SCRIPT
    )
    await wait_for_statement(old.dsn)
    process.kill()
    await end_of(process)
    with anyio.fail_after(10):  # the statement would take a minute
        assert len((await migrate(old, "1.0.2")).steps) == 1


@pytest.mark.parametrize("how", ["Task.cancel", "asyncio.timeout", "anyio"])
async def test_cancelling_cancels_the_statement_on_the_server(old: OldDatabase, how: str) -> None:
    before = await state_of(old.dsn)
    with anyio.fail_after(10), trap(CHAIN[0].name, take_long, AFTER_ITS_FIRST_SCRIPT):
        if how == "Task.cancel":
            task = asyncio.create_task(migrate(old))
            await wait_for_statement(old.dsn)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif how == "asyncio.timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await migrate(old)
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(migrate, old)
                await wait_for_statement(old.dsn)
                tasks.cancel_scope.cancel()
    await until_no_session_is_left(old.dsn)
    assert await state_of(old.dsn) == before
    assert str((await migrate(old)).version) == "main_0002"


async def test_a_commit_whose_answer_is_lost_is_told_as_that(
    old: OldDatabase, states: States
) -> None:
    """The server has committed; the client cannot know."""
    name = "0013_django_1_8"
    async with proxy(old.dsn) as connected:
        through = dataclasses.replace(old, dsn=connected.dsn)

        async def lose_the_answer(_connection: asyncpg.Connection) -> None:
            connected.cut_at_next_answer = True

        with trap(name, lose_the_answer, BEFORE_THE_COMMIT), pytest.raises(UnknownOutcome) as lost:
            await migrate(through)
    assert name in str(lost.value)
    assert await state_of(old.dsn) == await states.at("1.0.13")
    assert len((await migrate(old)).steps) == 39


# ------------------------------------------------------------------ the server


async def make_durable_database(
    durable: Databases, directory: Path, way: Way = DJANGO
) -> OldDatabase:
    old = await way.make(durable, directory)
    await checkpoint(durable)
    return old


@pytest.fixture(scope="module")
def durable_states(durable: Databases, tmp_path_factory: pytest.TempPathFactory) -> States:
    return States(durable, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def durable_states_of_sqlalchemy(
    durable: Databases, tmp_path_factory: pytest.TempPathFactory
) -> States:
    return States(durable, tmp_path_factory.mktemp("undisturbed"), SQLALCHEMY)


STEPS_OF_A_TEST = 8  # each takes two starts of a server


@pytest.mark.parametrize(
    ("way", "steps"),
    [
        pytest.param(
            DJANGO,
            [step for step in CHAIN if step.name in ONE_OF_EACH_KIND[1:3]],
            id="some steps",
        ),
        *(
            pytest.param(
                way,
                way.chain[first : first + STEPS_OF_A_TEST],
                id=f"{STEPS_OF_A_TEST} steps from {way.versions[first]} on",
                marks=pytest.mark.thorough,
            )
            for way in (DJANGO, SQLALCHEMY)
            for first in range(0, len(way.chain), STEPS_OF_A_TEST)
        ),
    ],
)
async def test_a_server_that_crashes_in_a_step_comes_back_at_the_version_before_it(
    durable_server: EmbeddedServer,
    durable: Databases,
    durable_states: States,
    durable_states_of_sqlalchemy: States,
    tmp_path: Path,
    way: Way,
    steps: Sequence[MigrationStep],
) -> None:
    old = await make_durable_database(durable, tmp_path / "files", way)
    states = durable_states if way is DJANGO else durable_states_of_sqlalchemy

    async def strike(_connection: asyncpg.Connection) -> None:
        await crash(durable_server)

    for position, step in enumerate(steps):
        point = POINTS[position % 2]
        await migrate(old, str(step.origin))
        with trap(step.name, strike, point), pytest.raises(DatabaseError) as raised:
            await migrate(old)
        assert isinstance(raised.value, UnreachableStorage | UnknownOutcome), raised.value
        assert await version_of(old) == str(step.origin)
        expected = await states.at(str(step.origin))
        assert await state_of(old.dsn) == expected, (step.name, point)
        # What was told as done is on the disk.
        await migrate(old, str(step.version))
        await crash(durable_server)
        expected = await states.at(str(step.version))
        assert await state_of(old.dsn) == expected, step.name
    await migrate(old)
    assert await state_of(old.dsn) == await states.at("main_0002")
    assert container.read_container_id(old.repository) == await repository_uuid(old.dsn)
    await durable.drop(old.dsn)


async def repository_uuid(dsn: str) -> str:
    connection = await asyncpg.connect(dsn)
    query = "select val #>> '{}' from db_dbsetting where key = 'repository|uuid'"
    found = await connection.fetchval(query)
    await connection.close()
    return found


@pytest.mark.parametrize("times", [1, pytest.param(8, marks=pytest.mark.thorough)])
async def test_a_server_that_crashes_at_any_moment_comes_back_whole(
    durable_server: EmbeddedServer,
    durable: Databases,
    durable_states: States,
    tmp_path: Path,
    times: int,
) -> None:
    old = await make_durable_database(durable, tmp_path / "files")
    dice = random.Random(3)
    for _ in range(times):
        told: list[MigrationProgress] = []
        async with anyio.create_task_group() as tasks:

            async def run(told: list[MigrationProgress] = told) -> None:
                with contextlib.suppress(DatabaseError):
                    await migrate(old, progress=told.append)

            tasks.start_soon(run)
            await anyio.sleep(dice.uniform(0.05, 0.6))
            await crash(durable_server)
        version = await version_of(old)
        assert await state_of(old.dsn) == await durable_states.at(version)
        if done := [one.name for one in told if one.what == "done"]:
            names = {str(step.version): step.name for step in CHAIN}
            versions = list(names)
            # No step that was told as done is lost; the one after it may be in as well.
            assert versions.index(version) >= list(names.values()).index(done[-1])
    await migrate(old)
    assert await state_of(old.dsn) == await durable_states.at("main_0002")


LARGEST_FILE = 20 * 1024**2 + 100  # bytes; a segment of the write-ahead log has 16 MB


async def test_a_full_disk_of_the_server_undoes_the_step(
    durable_server: EmbeddedServer, durable: Databases, tmp_path: Path
) -> None:
    """The server is started so that no file of its can grow beyond a limit: a disk that is full."""
    old = OldDatabase(await database_at(durable, 1), tmp_path / "files")
    await migrate(old, "1.0.36", without_repository=True)
    dsn = old.dsn
    connection = await asyncpg.connect(dsn)
    node = await insert(connection, "db_dbnode")
    dice = random.Random(5)
    for number in range(11):
        await connection.execute(
            """
            insert into db_dbattribute (dbnode_id, key, datatype, tval)
            values ($1::int, $2::text, 'txt', $3::text)
            """,
            node,
            f"key{number}",
            dice.randbytes(1024**2).hex(),
        )
    await connection.close()
    before = await summary_of(dsn)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, limits[1]))
    try:
        await restart(durable_server, "fast")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(AiidaDbError, match=r"django_0037.*undone") as raised:
        await migrate(old, without_repository=True)
    assert "could not" in str(raised.value)  # extend, or write to, a file
    await restart(durable_server, "fast")
    assert await version_of(old) == "1.0.36"
    assert await summary_of(dsn) == before
    assert len((await migrate(old, "1.0.37", without_repository=True)).steps) == 1


async def summary_of(dsn: str) -> tuple[object, ...]:
    """Schema and content of a database whose rows are too big to be compared one by one."""
    connection = await asyncpg.connect(dsn)
    hashes = "select md5(string_agg(md5(row::text), '' order by id)) from {} as row"
    tables = ("db_dbnode", "db_dbattribute", "db_dbsetting", "django_migrations")
    found = [await connection.fetchval(hashes.format(table)) for table in tables]
    schema = await describe(connection)
    await connection.close()
    return schema, *found


async def test_temporary_files_beyond_their_limit_undo_the_step(
    databases: Databases, tmp_path: Path
) -> None:
    """The other way in which a server runs out of disk: by a limit that the administrator set."""
    dsn = await database_at(databases, 13)
    connection = await asyncpg.connect(dsn)
    user = await insert(connection, "db_dbuser", email="ada@epfl.ch")
    await connection.execute(
        """
        insert into db_dbnode (
            uuid, type, label, description, ctime, mtime, nodeversion, public, user_id
        )
        select gen_random_uuid(), 'data.Data.', '', '', now(), now(), 1, false, $1::int
        from generate_series(1, 20000)
        """,
        user,
    )
    await connection.close()
    before = await summary_of(dsn)
    name = urlsplit(dsn).path[1:]
    await run_script(
        dsn,
        f"""
        alter database {name} set maintenance_work_mem = '1MB';
        alter database {name} set temp_file_limit = '64kB';
        """,
    )
    old = OldDatabase(dsn, tmp_path / "files")
    with pytest.raises(ResourceError, match=r"django_0014.*undone.*temporary file size"):
        await migrate(old, without_repository=True)
    assert await version_of(old) == "1.0.13"
    assert await summary_of(dsn) == before
    await run_script(dsn, f"alter database {name} reset all")
    assert len((await migrate(old, "1.0.18")).steps) == 5
    await databases.drop(dsn)


# ------------------------------------------------------------------ many at once


async def test_of_twenty_processes_at_once_one_migrates_and_the_others_find_it_done(
    old: OldDatabase, states: States, tmp_path: Path
) -> None:
    answers = [tmp_path / f"{number}.json" for number in range(20)]
    exports = tmp_path / "exports"
    processes = [start_process(old.dsn, old.repository, exports, answer) for answer in answers]
    for process in processes:
        assert await end_of(process) == 0
    results = [json.loads(answer.read_text("utf-8")) for answer in answers]
    assert sorted(results, key=str) == [0] * 19 + [len(CHAIN)]
    assert await state_of(old.dsn) == await states.at("main_0002")
    # Each file of what left the database was written once.
    assert len([path for path in exports.iterdir() if "logs" in path.name]) == 3
