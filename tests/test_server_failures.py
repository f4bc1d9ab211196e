"""Servers and clients that are killed, and a standby that takes over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

import aiidadb
from aiidadb.demo.embedded_server import EmbeddedServer, embedded_server
from aiidadb.demo.server_user import as_user, temporary_directory
from aiidadb.sql import SCHEMAS
from tests.helpers.databases import run_script
from tests.helpers.processes import LIMIT, started

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS: Final = 60  # for a server to be there again; it takes one or two


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A server of the test's own that keeps what it says, with AiiDA's schema."""
    with embedded_server() as own:
        asyncio.run(run_script(own.dsn, SCHEMAS["main_0002"]))
        yield own


def profile_of(*servers: EmbeddedServer) -> aiidadb.Profile:
    hosts = tuple(str(one.data) for one in servers)
    return aiidadb.Profile(
        "main",
        host=hosts if len(hosts) > 1 else hosts[0],
        database="postgres",
        user="postgres",
        pool_options=(("target_session_attrs", "read-write"),),
    )


async def until_it_works(backend: aiidadb.Backend, key: str) -> None:
    """Write a setting as soon as that works; until then, errors are ours."""
    async with asyncio.timeout(SECONDS):
        while True:
            with contextlib.suppress(aiidadb.DatabaseError):
                await backend.settings.set(key, 1)
                return
            await asyncio.sleep(0.1)


async def write(backend: aiidadb.Backend, name: str, stored: set[str]) -> None:
    """Write settings until the server fails; note those that are reported as stored."""
    for number in range(10_000):
        try:
            await backend.settings.set(f"{name}|{number}", number)
        except (aiidadb.UnreachableStorage, aiidadb.UnknownOutcome):
            return
        stored.add(f"{name}|{number}")


async def until_some_are(stored: set[str]) -> None:
    """Wait until the writers have stored something."""
    async with asyncio.timeout(SECONDS):
        while len(stored) < 20:
            await asyncio.sleep(0.01)


def kill_postmaster(server: EmbeddedServer) -> None:
    os.kill(int((server.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)


async def kill_a_process_of(server: EmbeddedServer) -> None:
    """Kill one process of the server: it ends all the others, and recovers."""
    connection = await asyncpg.connect(server.dsn)
    os.kill(connection.get_server_pid(), signal.SIGKILL)
    with contextlib.suppress(Exception):
        await connection.close(timeout=5)


async def test_a_server_that_crashed_is_used_again_and_kept_what_it_said(
    server: EmbeddedServer,
) -> None:
    stored: set[str] = set()
    async with aiidadb.open_backend(profile_of(server), max_size=5) as backend:
        writers = [
            asyncio.create_task(write(backend, f"writer{number}", stored)) for number in range(8)
        ]
        await until_some_are(stored)
        await kill_a_process_of(server)
        await asyncio.wait_for(asyncio.gather(*writers), SECONDS)
        await until_it_works(backend, "again")
        kept = {setting.key for setting in await backend.settings.get_all()}
    assert stored <= kept


async def test_of_a_client_that_was_killed_nothing_stays(bare_dsn: str) -> None:
    script = (
        "import asyncio, sys, aiidadb\n"
        "async def main():\n"
        "    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(sys.argv[1])) as backend:\n"
        "        async with backend.transaction():\n"
        "            await backend.settings.set('killed', 1)\n"
        "            print('written', flush=True)\n"
        "            await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with started([sys.executable, "-c", script, bare_dsn]) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "written\n"
        client.kill()
        client.wait(LIMIT)
    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with asyncio.timeout(SECONDS), aiidadb.open_backend(profile) as backend:
        # Waits for the row as long as the killed client's transaction has it.
        await backend.settings.set("killed", 2)
        assert (await backend.settings.get("killed")).value == 2
        await backend.settings.delete("killed")


@contextlib.contextmanager
def standby_of(primary: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """A server that follows another."""
    home = temporary_directory(primary.system_user)
    home.chmod(0o755)  # on the way to the data, which no other user may read
    subprocess.run(
        [
            str(primary.binaries / "pg_basebackup"), "--pgdata=data", "--write-recovery-conf",
            "--checkpoint=fast", f"--host={primary.data}", "--username=postgres",
        ],
        cwd=home, check=True, capture_output=True, timeout=LIMIT, **as_user(primary.system_user),
    )  # fmt: skip
    # Copied with the data, where the socket lies.
    (home / "data" / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
    with embedded_server(home) as standby:
        yield standby
    shutil.rmtree(home)


@pytest.mark.thorough
async def test_a_standby_that_was_promoted_is_gone_on_with(server: EmbeddedServer) -> None:
    with standby_of(server) as standby:
        stored: set[str] = set()
        async with aiidadb.open_backend(profile_of(server, standby), max_size=5) as backend:
            await backend.settings.set("before", 1)
            await replayed(server, standby)
            writers = [
                asyncio.create_task(write(backend, f"writer{number}", stored))
                for number in range(4)
            ]
            await until_some_are(stored)
            kill_postmaster(server)
            await asyncio.wait_for(asyncio.gather(*writers), SECONDS)
            with pytest.raises(aiidadb.DatabaseError):  # a standby takes no writes
                await backend.settings.set("between", 1)
            connection = await asyncpg.connect(standby.dsn)
            assert await connection.fetchval("select pg_promote()")
            await connection.close()
            await until_it_works(backend, "after")
            assert (await backend.settings.get("before")).value == 1
        assert stored


async def replayed(primary: EmbeddedServer, standby: EmbeddedServer) -> None:
    """Wait until a standby has what its primary has now."""
    one, other = await asyncpg.connect(primary.dsn), await asyncpg.connect(standby.dsn)
    reached = await one.fetchval("select pg_current_wal_lsn()")
    async with asyncio.timeout(SECONDS):
        while await other.fetchval("select pg_last_wal_replay_lsn() < $1::pg_lsn", reached):
            await asyncio.sleep(0.05)
    await one.close()
    await other.close()
