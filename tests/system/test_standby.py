"""On a hot standby, which answers questions and cannot be written to, not even temporary tables."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

import aiidadb
from aiidadb.demo.embedded_server import EmbeddedServer, embedded_server
from aiidadb.demo.server_user import as_user, give
from aiidadb.exceptions import DatabaseError, ReadOnlyDatabase
from aiidadb.sql import SCHEMAS
from tests.helpers.databases import Databases, connected, fetchval, run_script
from tests.helpers.graphs import INT, STRUCTURE, Node, write_links, write_nodes, write_users
from tests.helpers.processes import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

LAST = 3_000


@contextmanager
def standby_of(server: EmbeddedServer, place: Path) -> Iterator[EmbeddedServer]:
    """A copy of a running server that follows it."""
    (socket,) = parse_qs(urlsplit(server.dsn).query)["host"]
    home = place / "standby"
    home.mkdir()
    give(home, server.system_user)
    subprocess.run(
        [
            str(server.binaries / "pg_basebackup"), "--write-recovery-conf", "--checkpoint=fast",
            "--wal-method=stream", "--username=postgres", f"--host={socket}",
            f"--pgdata={home / 'data'}",
        ],
        check=True,
        timeout=LIMIT,
        cwd=home,
        **as_user(server.system_user),
    )  # fmt: skip
    (home / "data" / ".s.PGSQL.5432.lock").unlink()  # of the socket that lies beside the data
    with embedded_server(home) as standby:
        yield standby


async def test_traversals_are_answered_there(server: EmbeddedServer, place: Path) -> None:
    databases = Databases(server.dsn)
    dsn = await databases.create()
    await run_script(dsn, SCHEMAS["main_0002"])
    with standby_of(server, place) as standby:
        # Written when the standby runs already, so that it must have followed.
        async with connected(dsn) as connection:
            await write_users(connection)
            await write_nodes(
                connection,
                (Node(pk, STRUCTURE if pk == 1 else INT) for pk in range(1, LAST + 1)),
                line="main",
            )
            await write_links(connection, ((pk, pk + 1, "create") for pk in range(1, LAST)))
        copy = standby.dsn_of(urlsplit(dsn).path[1:])
        with anyio.fail_after(LIMIT):
            while await fetchval(copy, "select count(*) from db_dblink") != LAST - 1:
                await anyio.sleep(0.05)
        assert await fetchval(copy, "select pg_is_in_recovery()")

        everything = range(1, LAST + 1)
        async with aiidadb.open_backend(aiidadb.Profile.from_dsn(copy)) as backend:
            ask = backend.queries.get_closest_parents
            assert await ask(everything) == {pk: pk - 1 for pk in range(2, LAST + 1)}
            far = await ask(everything, node_type=STRUCTURE)
            assert far == dict.fromkeys(range(2, LAST + 1), 1)
            assert await ask(LAST, node_type=STRUCTURE) == {LAST: 1}
            assert len(await backend.queries.get_all_parents(everything)) == LAST - 1
            assert await backend.get_nodes_to_delete(1) == set(everything)
            for _ in range(2):  # the first look, and a later one
                assert await backend.queries.get_processes(states=["running"]) == []
            assert len((await backend.queries.get_provenance(1, depth=9)).nodes) == 10
            with pytest.raises(ReadOnlyDatabase):
                await backend.queries.set_labels({1: "a"})
            with pytest.raises(DatabaseError, match="read-only"):
                await backend.settings.set("key", 1)
    await databases.drop(dsn)


async def test_the_hosts_of_a_dsn_are_taken_by_their_kind(
    server: EmbeddedServer, place: Path
) -> None:
    """As ``aiidadb/docs/servers.md`` has it, also once the standby is gone."""
    databases = Databases(server.dsn)
    dsn = await databases.create()
    await run_script(dsn, SCHEMAS["main_0002"])
    database = urlsplit(dsn).path
    with standby_of(server, place) as standby:
        hosts = ",".join(parse_qs(urlsplit(one.dsn).query)["host"][0] for one in (server, standby))

        async def is_standby(wanted: str) -> bool:
            way = f"postgresql://postgres@{database}?host={hosts}&target_session_attrs={wanted}"
            async with aiidadb.open_backend(way) as backend, backend.connection() as connection:
                return bool(await connection.fetchval("select pg_is_in_recovery()"))

        kinds = ("any", "primary", "read-write", "standby", "read-only", "prefer-standby")
        found = [await is_standby(kind) for kind in kinds]
        assert found == [False, False, False, True, True, True]
    assert not await is_standby("prefer-standby")
    with pytest.raises(aiidadb.UnreachableStorage):
        await is_standby("standby")
    await databases.drop(dsn)
