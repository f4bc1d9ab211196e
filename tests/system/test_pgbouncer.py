"""Behind PgBouncer, which gives each transaction another connection to the server."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import anyio
import asyncpg
import pytest

import aiidadb
from aiidadb.cli import aiidadb as command_line
from aiidadb.connecting.pools.pool import PoolRegistry
from aiidadb.exceptions import PoolOptionsError, StorageMigrationError
from aiidadb.sql import SCHEMAS
from tests.helpers.databases import Databases, connected, run_script
from tests.helpers.graphs import BANDS, Node, write_links, write_nodes, write_users
from tests.helpers.processes import started
from tests.helpers.sleepers import CLIENT_TO_KILL, wait_for_sleepers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiidadb.demo.embedded_server import EmbeddedServer

pytestmark = pytest.mark.system

SETTINGS = """
[databases]
* = host={host} user=postgres

[pgbouncer]
listen_addr =
unix_socket_dir = {directory}
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
ignore_startup_parameters = {ignored}
"""
SESSIONS = 3


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer in front of a database of its own."""

    dsn: str
    server_dsn: str


@contextlib.asynccontextmanager
async def pooler(
    server: EmbeddedServer, place: Path, *, schema: str | None, ignored: str = ""
) -> AsyncIterator[Pooler]:
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert program, "PgBouncer is missing: install the package pgbouncer"
    databases = Databases(server.dsn)
    dsn = await databases.create()
    if schema is not None:
        await run_script(dsn, SCHEMAS[schema])
    (host,) = parse_qs(urlsplit(server.dsn).query)["host"]
    settings = place / "pgbouncer.ini"
    settings.write_text(
        SETTINGS.format(host=host, directory=place, sessions=SESSIONS, ignored=ignored), "utf-8"
    )
    if server.system_user is not None:  # it does not run as root either
        shutil.chown(place, server.system_user)
    with subprocess.Popen(
        [program, "--quiet", str(settings)], user=server.system_user, cwd=place
    ) as running:
        try:
            with anyio.fail_after(20):
                while not _answers(place / ".s.PGSQL.6432"):
                    assert running.poll() is None
                    await anyio.sleep(0.05)
            way = f"postgresql://postgres@{urlsplit(dsn).path}?host={place}&port=6432"
            yield Pooler(way, dsn)
        finally:
            running.kill()
    await databases.drop(dsn)


@pytest.fixture
async def pooled(server: EmbeddedServer, place: Path) -> AsyncIterator[Pooler]:
    """A database of the main line's head."""
    async with pooler(server, place, schema="main_0002") as running:
        yield running


@pytest.fixture
def pooled_dsn(pooled: Pooler) -> str:
    """The same, as it is reached through PgBouncer."""
    return pooled.dsn


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


async def test_calls_and_transactions_at_once_share_few_connections(pooled_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(pooled_dsn)
    async with aiidadb.open_backend(profile, max_size=10, statement_cache_size=0) as backend:

        async def use(number: int) -> None:
            await backend.settings.set(f"call {number}", number)
            async with backend.transaction():
                await backend.settings.set(f"transaction {number}", number)
                assert (await backend.settings.get(f"transaction {number}")).value == number
            assert await backend.queries.get_closest_parents([number]) == {}

        await asyncio.gather(*(use(number) for number in range(40)))
        assert len(await backend.settings.get_all()) == 80
        assert (await backend.queries.get_creation_statistics())["total"] == 0


async def test_closest_parents_are_found_in_either_way(pooled: Pooler) -> None:
    last = 3_000
    async with connected(pooled.server_dsn) as connection:
        await write_users(connection)
        await write_nodes(connection, (Node(pk) for pk in range(1, last + 1)), line="main")
        await write_links(connection, ((pk, pk + 1, "create") for pk in range(1, last)))
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(pooled.dsn), max_size=5) as backend:
        ask = backend.queries.get_closest_parents
        near, far = await asyncio.gather(ask(range(1, last + 1)), ask(range(1, last + 1), id=1))
    assert near == {pk: pk - 1 for pk in range(2, last + 1)}
    assert far == dict.fromkeys(range(2, last + 1), 1)
    assert await prepared_statements(pooled) == []


async def test_bands_come_one_after_the_other_and_leave_nothing_behind(pooled: Pooler) -> None:
    async with connected(pooled.server_dsn) as connection:
        await write_users(connection)
        await write_nodes(connection, (Node(pk, BANDS) for pk in range(1, 501)), line="main")
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(pooled.dsn), max_size=5) as backend:

        async def read(most: int) -> int:
            number = 0
            async for row in backend.queries.get_bands_and_parents_structure(all_users=True):
                number += 1
                assert row.pk == number
                if number == most:
                    break
            return number

        assert await asyncio.gather(*map(read, range(480, 520))) == [
            min(most, 500) for most in range(480, 520)
        ]
    assert await prepared_statements(pooled) == []


async def test_streams_that_are_left_while_more_is_fetched_leave_nothing_behind(
    pooled: Pooler,
) -> None:
    async with connected(pooled.server_dsn) as connection:
        await write_users(connection)
        await write_nodes(connection, (Node(pk, BANDS) for pk in range(1, 501)), line="main")
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(pooled.dsn), max_size=5) as backend:
        query = backend.query().append("", tag="n", project="id").order_by({"n": "id"})

        async def read(most: int) -> list[int]:
            found: list[int] = []
            async with contextlib.aclosing(query.iterall(5)) as rows:
                async for (pk,) in rows:
                    found.append(pk)
                    if pk == most:
                        break
            return found

        assert await asyncio.gather(*map(read, range(1, 500, 7))) == [
            list(range(1, most + 1)) for most in range(1, 500, 7)
        ]
        assert await query.count() == 500
    assert await prepared_statements(pooled) == []


async def prepared_statements(way: Pooler) -> list[str]:
    """The names of the prepared statements in all sessions that PgBouncer has open."""
    names: list[str] = []
    begun = asyncio.Barrier(SESSIONS)

    async def look() -> None:
        connection = await asyncpg.connect(way.dsn, statement_cache_size=0)
        async with connection.transaction():
            await connection.execute("select")  # from here on the session is this one's
            async with asyncio.timeout(30):
                await begun.wait()
            rows = await connection.fetch("select name from pg_prepared_statements")
            names.extend(row["name"] for row in rows if row["name"])
        await connection.close()

    await asyncio.gather(*(look() for _ in range(SESSIONS)))
    return names


async def mixed_calls(backend: aiidadb.Backend, client: int, count: int) -> None:
    """Concurrent calls of every kind; each must be right."""

    async def call(number: int) -> None:
        key = f"client {client}, call {number}"
        match number % 5:
            case 0:
                await backend.settings.set(key, [number, {"a": 1.5}])
                assert (await backend.settings.get(key)).value == [number, {"a": 1.5}]
            case 1:
                async with backend.transaction() as connection:
                    await backend.settings.set(key, number)
                    assert (
                        await connection.fetchval(
                            "select val from db_dbsetting where key = $1", key
                        )
                        == number
                    )
            case 2:
                assert await backend.queries.get_closest_parents([number + 1]) == {}
            case 3:
                report = await backend.delete_nodes_and_connections([number + 1])
                assert report.missing == (number + 1,)
            case _:
                assert (await backend.queries.get_creation_statistics())["total"] == 0

    await asyncio.gather(*(call(number) for number in range(count)))


@contextlib.asynccontextmanager
async def clients(dsn: str, count: int, **options: object) -> AsyncIterator[list[aiidadb.Backend]]:
    """Several applications, each with a pool of its own."""
    async with contextlib.AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            registry = await stack.enter_async_context(PoolRegistry())
            backend = aiidadb.open_backend(
                aiidadb.Profile.from_dsn(dsn), registry=registry, max_size=5, **options
            )
            opened.append(await stack.enter_async_context(backend))
        yield opened


@pytest.mark.parametrize("ignored", ["", "jit"])
async def test_500_calls_of_clients_that_know_nothing_of_it_are_right(
    server: EmbeddedServer, place: Path, ignored: str
) -> None:
    async with pooler(server, place, schema="main_0002", ignored=ignored) as way:
        async with clients(way.dsn, 5) as backends:
            await asyncio.gather(
                *(mixed_calls(backend, client, 100) for client, backend in enumerate(backends))
            )
            assert len(await backends[0].settings.get_all()) == 200
        assert await prepared_statements(way) == []


async def test_what_a_careless_client_left_behind_breaks_nothing(pooled: Pooler) -> None:
    # asyncpg as it is by default, whose second client would find the names of the first taken.
    careless = [await asyncpg.connect(pooled.dsn) for _ in range(SESSIONS)]
    for connection in careless:
        with contextlib.suppress(asyncpg.PostgresError):
            await connection.fetchval("select 1")
    for connection in careless:
        connection.terminate()
    assert await prepared_statements(pooled)
    async with clients(pooled.dsn, 3) as backends:
        await asyncio.gather(
            *(mixed_calls(backend, client, 20) for client, backend in enumerate(backends))
        )


async def test_asking_for_a_kind_of_server_leaves_nothing_behind(pooled: Pooler) -> None:
    async with clients(f"{pooled.dsn}&target_session_attrs=read-write", 3) as backends:
        await asyncio.gather(
            *(mixed_calls(backend, client, 20) for client, backend in enumerate(backends))
        )
    assert await prepared_statements(pooled) == []


async def test_whoever_asks_for_prepared_statements_gets_them(pooled: Pooler) -> None:
    async with clients(f"{pooled.dsn}&statement_cache_size=10", 1) as (backend,):
        await backend.settings.get_all()
    assert await prepared_statements(pooled)


async def test_a_setting_that_it_refuses_is_told_with_what_to_do(pooled: Pooler) -> None:
    profile = aiidadb.Profile.from_dsn(f"{pooled.dsn}&options=-c%20work_mem%3D1MB")
    with pytest.raises(PoolOptionsError, match=r"pooler .* work_mem.*ignore_startup_parameters"):
        async with aiidadb.open_backend(profile):
            pass


@pytest.mark.parametrize("schema", [None, "django_0045"])
async def test_changes_of_the_schema_are_refused_before_anything_is_changed(
    server: EmbeddedServer, place: Path, schema: str | None
) -> None:
    async with pooler(server, place, schema=schema) as way:
        before = await content(way.server_dsn)
        profile = aiidadb.Profile.from_dsn(way.dsn)
        async with aiidadb.open_backend(profile, schema_check=False) as backend:
            with pytest.raises(StorageMigrationError, match=r"pooler .*connect to the server"):
                if schema is None:
                    await backend.schema.initialise()
                else:
                    await backend.schema.migrate(without_repository=True)
        assert await content(way.server_dsn) == before
        assert await prepared_statements(way) == []


async def content(dsn: str) -> list[tuple[object, ...]]:
    """Every table and column of a database."""
    async with connected(dsn) as connection:
        rows = await connection.fetch(
            "select table_name, column_name, data_type from information_schema.columns "
            "where table_schema = 'public' order by 1, 2"
        )
        return [tuple(row) for row in rows]


def test_the_command_line_can_say_that_there_is_one(
    pooled: Pooler, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("", "&statement_cache_size=0"):  # the latter as servers.md has it
        with pytest.raises(SystemExit) as ended:
            command_line(["settings", "set", "a", "1", "--dsn", pooled.dsn + key])
        assert (ended.value.code, capsys.readouterr().err) == (0, "")


async def test_the_statement_of_a_client_that_was_killed_ends_where_the_role_has_it_so(
    server: EmbeddedServer, place: Path
) -> None:
    async with pooler(server, place, schema="main_0002") as between:
        database = urlsplit(between.dsn).path[1:]
        await run_script(
            between.server_dsn,
            f"alter role postgres in database {database} "
            "set client_connection_check_interval = '500ms'",
        )
        with started([sys.executable, "-c", CLIENT_TO_KILL, between.dsn]) as client:
            await wait_for_sleepers(between.server_dsn, 1)
            client.kill()
            await wait_for_sleepers(between.server_dsn, 0)
