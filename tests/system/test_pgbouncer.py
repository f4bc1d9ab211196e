"""Behind PgBouncer, which gives each transaction another connection to the server."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

import aiidadb
from aiidadb.sql import SCHEMAS
from tests.helpers.databases import Databases, run_script

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
default_pool_size = 3
"""


@pytest.fixture
async def pooled_dsn(server: EmbeddedServer, place: Path) -> AsyncIterator[str]:
    """A database of the main line's head, reached through PgBouncer."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert program, "PgBouncer is missing: install the package pgbouncer"
    databases = Databases(server.dsn)
    dsn = await databases.create()
    await run_script(dsn, SCHEMAS["main_0002"])
    (host,) = parse_qs(urlsplit(server.dsn).query)["host"]
    settings = place / "pgbouncer.ini"
    settings.write_text(SETTINGS.format(host=host, directory=place), "utf-8")
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
            yield f"postgresql://postgres@{urlsplit(dsn).path}?host={place}&port=6432"
        finally:
            running.kill()
    await databases.drop(dsn)


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
