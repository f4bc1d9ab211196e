"""Commands run in this process, and what else tests of them need."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.profiles.profile import Profile
from tests.helpers.processes import started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import asyncpg


@dataclass
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run: TypeAlias = "Callable[..., Result]"
"""Runs a command in this process, as one whose output is piped."""


def fetch(dsn: str, question: str) -> list[asyncpg.Record]:
    async def ask() -> list[asyncpg.Record]:
        connection = await connect(Profile.from_dsn(dsn))
        try:
            return await connection.fetch(question)
        finally:
            await connection.close()

    return asyncio.run(ask())


def count(dsn: str, table: str) -> int:
    return fetch(dsn, f"select count(*) from {table}")[0][0]


@contextmanager
def locked(dsn: str, table: str, mode: str = "access exclusive") -> Iterator[None]:
    """Another session holds a table meanwhile."""
    script = (
        "import asyncio, sys, asyncpg\n"
        "from aiidadb.connecting.opening.connection import connect\n"
        "from aiidadb.connecting.profiles.profile import Profile\n"
        "async def main():\n"
        "    connection = await connect(Profile.from_dsn(sys.argv[1]))\n"
        "    await connection.execute('begin; lock table ' + sys.argv[2])\n"
        "    print('locked', flush=True)\n"
        "    await asyncio.to_thread(sys.stdin.read)\n"
        "    await connection.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, dsn, f"{table} in {mode} mode"]
    with started(command) as holder:
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.stdin.close()
        holder.wait()


def one_line(result: Result, status: int) -> str:
    assert result.status == status
    assert result.out == ""
    assert re.fullmatch(r"Error: [^\n]+\n", result.err)
    return result.err
