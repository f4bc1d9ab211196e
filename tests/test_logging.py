"""What is logged: to whom, about what, and that no secret and no value is in it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from pypika import Query
from pypika.functions import Function

import aiidadb
from aiidadb import nodes
from aiidadb.connecting.driver import slow_statements
from aiidadb.connecting.driver.slow_statements import SlowStatements
from aiidadb.connecting.rows import row_cursor
from aiidadb.exceptions import PoolOptionsError, QueryTimeout, UnreachableStorage
from aiidadb.sql import QUERIES
from tests.helpers.campaigns import write_config
from tests.helpers.databases import connected
from tests.helpers.faults import proxy
from tests.helpers.graphs import INT, Node, write_nodes, write_users
from tests.helpers.migrating import migrate
from tests.helpers.processes import finished

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Awaitable

LIMIT = 30  # seconds, far beyond what any of these takes

SECRET = "s3cr3t-of-ada"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "aiidadb")
    return caplog


def backends(
    database: aiidadb.Profile | str, **options: Any
) -> contextlib.AbstractAsyncContextManager[aiidadb.Backend]:
    return aiidadb.open_backend(database, registry=aiidadb.PoolRegistry(), **options)


def said_by(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == name]


def slow_ones(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The names of the statements that were reported as slow, each with how it ended."""
    assert all(
        record.levelno == logging.WARNING
        for record in caplog.records
        if record.name == "aiidadb.slow"
    )
    return [text.rsplit(" ", 2)[0] for text in said_by(caplog, "aiidadb.slow")]


# --------------------------------------------------------------------------- to whom


@pytest.mark.quick
def test_nothing_is_shown_where_nobody_asked_for_it() -> None:
    program = "import logging, aiidadb; logging.getLogger('aiidadb.slow').warning('seen')"
    for shown, prelude in ("", ""), ("seen", "import logging; logging.basicConfig()\n"):
        ended = finished([sys.executable, "-c", prelude + program])
        assert ended.stdout == ""
        assert (shown in ended.stderr) if shown else ended.stderr == ""


async def test_the_command_line_shows_what_concerns_its_user(main_dsn: str) -> None:
    await write(main_dsn, number=2)
    async with connected(main_dsn) as connection:
        await connection.execute("create table plugin (node_id int references db_dbnode)")
    command = [sys.executable, "-m", "aiidadb", "nodes", "delete", "1", "--dsn", main_dsn]
    ended = await asyncio.to_thread(finished, [*command, "--yes"])
    assert ended.returncode == 0
    assert ended.stderr.count("plugin.node_id refers to them and has no index") == 1


@pytest.mark.quick
def test_each_logger_is_that_of_a_module() -> None:
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("aiidadb.") and name != "aiidadb.slow":
            assert any(module == name or module.startswith(f"{name}.") for module in sys.modules)


async def test_the_program_of_the_document(
    main_dsn: str, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    document = Path(aiidadb.__file__).parent / "docs" / "logging.md"
    (program,) = re.findall(
        r"^```python\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL
    )
    write_config(tmp_path, main_dsn)
    ended = await asyncio.to_thread(
        finished,
        [sys.executable, "-c", program.replace("0.001", "1e-9")],
        environment={"AIIDA_PATH": str(tmp_path)},
    )
    assert ended.stdout == "0\n"
    said = ended.stderr.splitlines()
    assert " INFO aiidadb.connecting.pools.pool: opened the pool of profile " in said[0]
    assert any(" WARNING aiidadb.slow: creation_statistics took " in line for line in said)
    assert " INFO aiidadb.connecting.pools.pool: closed the pool of profile " in said[-1]


def test_the_document_names_every_logger() -> None:
    package = Path(aiidadb.__file__).parent
    document = (package / "docs" / "logging.md").read_text()
    for path in package.rglob("*.py"):
        if "_LOGGER: Final = logging.getLogger(__name__)" in path.read_text():
            assert (
                f"`aiidadb.{'.'.join(path.relative_to(package).with_suffix('').parts)}`" in document
            )


# --------------------------------------------------------------------------- pools


async def test_a_pool_that_opens_and_closes(
    bare_dsn: str, logged: pytest.LogCaptureFixture
) -> None:
    of_dsn = aiidadb.Profile.from_dsn(bare_dsn)
    named = dataclasses.replace(of_dsn, name="mine")
    for profile, name, where, size, most in [
        (of_dsn, f"database '{of_dsn.database}'", "", 7, "7 connections, 2 for long calls"),
        (named, "profile 'mine'", f"database '{of_dsn.database}' ", 1, "1 connection, 1 for long"),
    ]:
        logged.clear()
        async with (
            asyncio.timeout(LIMIT),
            backends(profile, max_size=size, max_long=min(size, 2)),
        ):
            pass
        first, last = said_by(logged, "aiidadb.connecting.pools.pool")
        assert first.startswith(f"opened the pool of {name}: {where}on ")
        assert most in first
        assert last == f"closed the pool of {name}"


async def test_a_connection_that_is_lost_and_replaced(
    bare_dsn: str, logged: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(LIMIT), backends(bare_dsn) as backend:
        async with backend.connection() as connection:
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute("select pg_terminate_backend(pg_backend_pid())")
        await backend.settings.get_all()
    pool = said_by(logged, "aiidadb.connecting.pools.pool")
    assert [text.split(" in the pool")[0] for text in pool[1:-1]] == [
        "lost a connection",
        "replaced a lost connection",
    ]


@pytest.mark.parametrize(
    "options", [{"max_queries": 1}, {"max_inactive_connection_lifetime": 0.05}], ids=str
)
async def test_what_the_pool_itself_replaces_was_not_lost(
    bare_dsn: str, logged: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    async with asyncio.timeout(LIMIT), backends(bare_dsn, **options) as backend:
        for _ in range(3):
            await backend.settings.get_all()
            await asyncio.sleep(0.2)
        await aiidadb.connecting.pools.pool.expire_connections()
        await backend.settings.get_all()
    assert len(said_by(logged, "aiidadb.connecting.pools.pool")) == 2


async def test_no_password_is_logged(bare_dsn: str, logged: pytest.LogCaptureFixture) -> None:
    """Not even where the server is not there."""
    dsn = bare_dsn.replace("postgres@", f"postgres:{SECRET}@")
    if SECRET not in dsn:
        dsn = f"{bare_dsn}{'&' if '?' in bare_dsn else '?'}password={SECRET}"
    async with asyncio.timeout(LIMIT), backends(dsn, slow_statement=1e-9) as backend:
        await backend.settings.get_all()
        with pytest.raises(UnreachableStorage):
            async with backends(f"postgresql://ada:{SECRET}@127.0.0.1:1/{SECRET[:3]}"):
                pass
    assert len(logged.records) > 2
    assert SECRET not in logged.text


# --------------------------------------------------------------------------- migrations


async def test_the_steps_of_a_migration(
    django_dsn: str, logged: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async with asyncio.timeout(60):
        await migrate(django_dsn, "main_0001", repository=None)
    (begin, end) = said_by(logged, "aiidadb.migration.runner")
    steps = said_by(logged, "aiidadb.migration.step_runner")
    assert begin.startswith("migration from 1.0.45 to main_0001: ")
    assert end.startswith("migration done: ")
    assert end.endswith(" seconds")
    assert len(steps) == 2 * int(begin.split()[-2])
    for one, other in zip(steps[::2], steps[1::2], strict=True):
        assert one.endswith(" begins")
        assert other.startswith(one.replace("begins", "done: "))
        assert other.endswith(" seconds")


async def test_a_step_that_is_stopped(django_dsn: str, logged: pytest.LogCaptureFixture) -> None:
    def stop(progress: aiidadb.MigrationProgress) -> None:
        if progress.what == "changing the database":
            raise LookupError(SECRET)

    async with asyncio.timeout(60):
        with pytest.raises(LookupError):
            await migrate(django_dsn, "main_0001", progress=stop)
    begun, ended = said_by(logged, "aiidadb.migration.step_runner")
    assert ended.startswith(begun.replace("begins", "ended by LookupError after "))
    assert SECRET not in logged.text


# --------------------------------------------------------------------------- slow statements


@pytest.mark.parametrize("seconds", [0, -1, "1", True, float("nan"), 10**400], ids=str)
async def test_what_is_no_time_is_refused(bare_dsn: str, seconds: Any) -> None:
    with pytest.raises(PoolOptionsError, match=r"slow_statement must be .* None for no report"):
        aiidadb.open_backend(bare_dsn, slow_statement=seconds)
    async with aiidadb.PoolRegistry() as registry:
        with pytest.raises(PoolOptionsError, match="slow_statement must be a number of seconds"):
            await registry.get_pool(aiidadb.Profile.from_dsn(bare_dsn), slow_statement=seconds)


async def test_the_time_is_the_pools(bare_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(bare_dsn, registry=registry, slow_statement=7) as one,
        aiidadb.open_backend(bare_dsn, registry=registry) as two,
    ):
        assert one._session.slow is two._session.slow
        with pytest.raises(PoolOptionsError, match="slow_statement=7"):
            async with aiidadb.open_backend(bare_dsn, registry=registry, slow_statement=8):
                pass


async def test_each_kind_of_query_has_a_name(
    main_dsn: str, logged: pytest.LogCaptureFixture
) -> None:
    await write(main_dsn, number=2)
    async with asyncio.timeout(LIMIT), backends(main_dsn, slow_statement=1e-9) as timed:
        assert slow_ones(logged) == ["schema version took"]
        seen = {}

        async def note(what: str, call: Any) -> None:
            logged.clear()
            await call
            seen[what] = slow_ones(logged)

        await note("file", timed.settings.get_all())
        await note("write", timed.settings.set("a", SECRET))
        await note("places", timed.queries.get_duplicate_uuids("db_dbgroup"))
        await note("slots", timed.queries.get_closest_parents([1], node_type="data.core.int.Int."))
        await note("pypika", timed.queries.fetch(Query.from_(nodes).select(nodes.id)))
        await note("builder", timed.query().append(INT, filters={"label": SECRET}).all())
        made = timed.query().append(INT, project="id")
        await note("stream", _drain(made.iterall(batch_size=1)))
    assert seen["file"] == ["setting_list took"]
    assert seen["write"] == ["setting_set took"]
    assert seen["places"] == ["duplicate_uuids took"]
    assert "closest_parents" in "".join(seen["slots"]) or seen["slots"]
    assert all(name.split()[0] in QUERIES for name in seen["slots"])
    assert seen["pypika"] == ["pypika query took"]
    assert seen["builder"] == ["query builder took"]
    assert seen["stream"] == ["query builder took"]  # once, however many fetches
    assert SECRET not in logged.text


async def write(dsn: str, number: int) -> None:
    """So many nodes, for a database that has none."""
    async with connected(dsn) as connection:
        await write_users(connection)
        await write_nodes(connection, map(Node, range(1, number + 1)), line="main")


async def _drain(rows: Any) -> None:
    async for _ in rows:
        pass


@pytest.mark.quick
def test_a_statement_is_named_by_its_file_and_never_by_its_text(
    logged: pytest.LogCaptureFixture,
) -> None:
    slow = SlowStatements(1.0)
    for query in QUERIES.values():
        logged.clear()
        for text in (
            query.text,
            query.fill(**dict.fromkeys(query.slots, f"label = '{SECRET}'")).text,
        ):
            slow.report("", 2.0, text=text)
        for table in query.tables:
            slow.report("", 2.0, text=query.on_table(table).text)
        assert set(slow_ones(logged)) == {f"{query.name} took"}
    logged.clear()
    slow.report("", 1.0, text=f"select '{SECRET}'")
    slow.report("", 0.999, text=f"select '{SECRET}'")
    SlowStatements(None).report("", 1e9, text="select 1")
    assert slow_ones(logged) == ["a statement took"]
    assert SECRET not in logged.text


class Clock:
    """What statements are timed by, so that none takes long because the machine is busy.

    Attributes:
        seconds: What it shows.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.seconds += seconds

    async def take(self, seconds: float, call: Awaitable[object]) -> None:
        """Wait for a statement, which takes so long."""
        # In the next turn of the event loop, when it has been sent, and has no answer yet.
        asyncio.get_running_loop().call_soon(self.move, seconds)
        await call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(asyncpg.connection, "time", made)
    for module in (slow_statements, row_cursor):
        monkeypatch.setattr(module, "monotonic", made.monotonic)
    return made


async def test_the_callers_own_sql(
    bare_dsn: str, logged: pytest.LogCaptureFixture, clock: Clock
) -> None:
    async with asyncio.timeout(LIMIT), backends(bare_dsn, slow_statement=0.2) as backend:
        async with backend.connection() as connection:
            await clock.take(0.3, connection.fetch("select $1::text", SECRET))
            await clock.take(0.1, connection.fetch("select 1"))
        async with backend.transaction() as connection:
            await clock.take(0.3, connection.execute(f"select '{SECRET}'"))
            clock.move(0.3)  # in which nothing is asked
        await asyncio.sleep(0)
        assert slow_ones(logged) == ["caller's SQL took"] * 2
    assert SECRET not in logged.text


async def test_in_the_callers_transaction_a_statement_is_reported_once(
    main_dsn: str, logged: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(LIMIT), backends(main_dsn, slow_statement=1e-9) as backend:
        async with backend.transaction() as connection:
            logged.clear()
            await backend.settings.get_all()
            async with backend.transaction():
                await backend.settings.get_all()
            await backend.settings.get_all()
            await connection.execute("select 1")
            await asyncio.sleep(0)
            assert slow_ones(logged).count("setting_list took") == 3
            # Those of the savepoint's beginning and end are the driver's, on the same connection.
            assert slow_ones(logged)[-1] == "caller's SQL took"
        assert slow_ones(logged)[-1] == "commit took"
        assert not backend._session.slow._ours


async def test_a_statement_that_did_not_come_to_its_end(
    bare_dsn: str, logged: pytest.LogCaptureFixture, clock: Clock
) -> None:
    options = {"slow_statement": 0.2, "command_timeout": 2}
    async with asyncio.timeout(LIMIT), backends(bare_dsn, **options) as backend:

        async def fetch_ours() -> None:
            await backend.queries.fetch(Query.select(Function("pg_sleep", 60)))

        async def fetch_theirs() -> None:
            async with backend.connection() as connection:
                await connection.fetch("select pg_sleep(60)")

        for call, error in (
            (fetch_ours, QueryTimeout),
            (fetch_ours, asyncio.CancelledError),
            (fetch_theirs, asyncio.CancelledError),
        ):
            running = asyncio.create_task(call())
            async with connected(bare_dsn) as other:
                while not await other.fetchval(ASLEEP):
                    await asyncio.sleep(0.02)
            clock.move(0.3)
            if error is asyncio.CancelledError:
                running.cancel()
            with pytest.raises(error):
                await running
        await asyncio.sleep(0)
    assert slow_ones(logged) == [
        "pypika query failed after",
        "pypika query was cancelled after",
        "caller's SQL was cancelled after",
    ]


ASLEEP = (
    "select count(*) from pg_stat_activity where datname = current_database() "
    "and state = 'active' and pid <> pg_backend_pid() and query ilike 'select pg_sleep%'"
)


async def test_of_a_stream_the_time_of_the_server_counts(
    main_dsn: str, logged: pytest.LogCaptureFixture, clock: Clock
) -> None:
    await write(main_dsn, number=5)
    async with asyncio.timeout(LIMIT), backends(main_dsn, slow_statement=0.5) as timed:
        async for _ in timed.query().append(INT, project="id").iterall(batch_size=2):
            clock.move(0.2)
        assert slow_ones(logged) == []
    async with (
        asyncio.timeout(LIMIT),
        proxy(main_dsn) as between,
        backends(between.dsn, slow_statement=0.5) as timed,
    ):
        rows = timed.query().append(INT, project="id").iterall(batch_size=2)
        await anext(rows)
        between.fall_silent()
        rest = asyncio.create_task(_drain(rows))
        for _ in range(20):  # more turns of the event loop than it takes to ask for more
            await asyncio.sleep(0)
        clock.move(0.7)
        between.passing.set()
        await rest
        assert slow_ones(logged) == ["query builder took"]
