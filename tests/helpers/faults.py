"""What stops a migration, at a chosen point of a chosen step, in this process or in another.

Processes come from a fork server that has the library imported: one takes a few milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg

import aiidadb
from aiidadb.migration import step_runner
from aiidadb.migration.plan import route
from aiidadb.version.schema_version import MAIN_HEAD, SchemaVersion
from tests.helpers.processes import LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

    from aiidadb.demo.embedded_server import EmbeddedServer

    Strike: TypeAlias = Callable[[asyncpg.Connection], Awaitable[None]]

__all__ = [
    "AFTER_ITS_FIRST_SCRIPT",
    "BEFORE_THE_COMMIT",
    "CHAIN",
    "SQLALCHEMY_CHAIN",
    "Proxy",
    "crash",
    "die",
    "end_of",
    "migrate_in_process",
    "pause",
    "proxy",
    "restart",
    "start_process",
    "take_long",
    "trap",
]

AFTER_ITS_FIRST_SCRIPT: Final = 1
BEFORE_THE_COMMIT: Final = None

CHAIN: Final = route(SchemaVersion("django", 1), MAIN_HEAD)
"""The steps of a database of the first version on its way to the newest."""

SQLALCHEMY_CHAIN: Final = route(SchemaVersion("sqlalchemy", 1), MAIN_HEAD)
"""The same, of the line of the SQLAlchemy backend."""

_CONTEXT = multiprocessing.get_context("forkserver")


@contextlib.contextmanager
def trap(step_name: str | None, strike: Strike, after: int | None) -> Iterator[None]:
    """Let something happen in the middle of a step's transaction.

    Args:
        step_name: The step, or ``repair``; None for every one.
        strike: What happens; awaited with the migrating connection.
        after: After how many scripts that were sent; None for after all, right before the commit.
    """
    real_atomic, real_execute = step_runner.atomic, asyncpg.Connection.execute

    @contextlib.asynccontextmanager
    async def atomic(connection: asyncpg.Connection, what: str) -> AsyncIterator[None]:
        async with real_atomic(connection, what):
            if step_name is not None and f"({step_name})" not in what:
                yield
                return
            count = 0

            async def execute(self: asyncpg.Connection, *arguments: Any, **options: Any) -> str:
                nonlocal count
                status = await real_execute(self, *arguments, **options)
                if self is connection:
                    count += 1
                    if count == after:
                        await strike(connection)
                return status

            asyncpg.Connection.execute = execute
            try:
                yield
            finally:
                asyncpg.Connection.execute = real_execute
            if after is None:
                await strike(connection)

    step_runner.atomic = atomic
    try:
        yield
    finally:
        step_runner.atomic = real_atomic


async def die(_connection: asyncpg.Connection) -> None:
    """Be killed, without a chance to clean up."""
    os.kill(os.getpid(), signal.SIGKILL)


async def take_long(connection: asyncpg.Connection) -> None:
    """Let the server be at work, for a minute."""
    await connection.execute("select pg_sleep(60)")


async def pause(connection: asyncpg.Connection) -> None:
    """Keep all locks for two seconds, and go on."""
    await connection.execute("select pg_sleep(2)")


def migrate_in_process(
    dsn: str,
    repository: Path | None,
    exports: Path,
    answer: Path | None = None,
    strike: Strike | None = None,
    step_name: str = "",
    after: int | None = None,
    *,
    target: str | None = None,
    repair: bool = False,
) -> None:
    """Migrate, to the newest version where no other is named. For a process of its own.

    Args:
        dsn: The database.
        repository: Its files; None for none to care for.
        exports: Where steps write files to.
        answer: Where to write how many steps were run, or the error.
        strike: What happens on the way, if anything: :func:`die`, :func:`take_long` or
            :func:`pause`.
        step_name: In which step.
        after: Where in it, as for :func:`trap`.
        target: Which version to migrate to.
        repair: Mend what can be mended first.
    """

    async def migrate() -> int:
        profile = aiidadb.Profile.from_dsn(dsn, repository=repository)
        async with aiidadb.open_backend(profile, schema_check=False) as backend:
            report = await backend.schema.migrate(
                target,
                export_directory=exports,
                without_repository=repository is None,
                repair=repair,
            )
            return len(report.steps)

    with trap(step_name, strike, after) if strike else contextlib.nullcontext():
        try:
            result: int | str = asyncio.run(migrate())
        except Exception as error:
            result = repr(error)
    if answer is not None:
        answer.write_text(json.dumps(result), "utf-8")


def start_process(*arguments: object, **options: object) -> ForkServerProcess:
    """Start :func:`migrate_in_process` in a process."""
    _CONTEXT.set_forkserver_preload(["pytest", __name__])
    process = _CONTEXT.Process(target=migrate_in_process, args=arguments, kwargs=options)
    process.start()
    return process


async def end_of(process: ForkServerProcess, seconds: float = LIMIT) -> int | None:
    """Wait for a process; its exit code, negative for a signal, None where it did not end."""
    await asyncio.to_thread(process.join, seconds)
    code = process.exitcode
    process.kill()
    return code


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Proxy:
    """What stands between a client and the server.

    Attributes:
        dsn: The database, reached through it.
        cut_at_next_answer: Pass on what the client says next, but not what the server answers: cut
            both connections instead.
        cuts_answer_to: The same, from when a client has said this on; empty: never.
        edit_answer: What makes of the server's bytes those that the client gets.
        passing: Cleared, it takes connections and bytes and passes nothing on, until it is set.
        holds_answers_to: From when a client has said this on, answers are kept back; empty: never.
        is_holding: Set when that has happened. Cleared, the answers go on their way.
    """

    dsn: str
    cut_at_next_answer: bool = False
    cuts_answer_to: bytes = b""
    edit_answer: Callable[[bytes], bytes] = bytes
    passing: asyncio.Event = field(default_factory=_set_event)

    def fall_silent(self) -> None:
        """Pass nothing on any more, as a server that stopped and keeps its connections open."""
        self.passing.clear()

    holds_answers_to: bytes = b""
    is_holding: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, said: bytes) -> None:
        """Take note of what a client says."""
        if self.cuts_answer_to and self.cuts_answer_to in said:
            self.cut_at_next_answer = True
        if self.holds_answers_to and self.holds_answers_to in said:
            self.is_holding.set()


@contextlib.asynccontextmanager
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    """Pass on what clients and a server say to each other, on a port of 127.0.0.1."""
    probe = await asyncpg.connect(dsn)
    address = probe._addr
    await probe.close()
    parts = urlsplit(dsn)
    between = Proxy(dsn)

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await between.passing.wait()
                if is_answer and between.cut_at_next_answer:
                    break
                if not is_answer:
                    between.hear(data)
                while is_answer and between.is_holding.is_set():
                    await asyncio.sleep(0.01)
                writer.write(between.edit_answer(data) if is_answer else data)
                await writer.drain()
        writer.close()

    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(address, str):
            behind = await asyncio.open_unix_connection(address)
        else:
            behind = await asyncio.open_connection(*address)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pump(reader, behind[1], is_answer=False))
                tasks.create_task(pump(behind[0], writer, is_answer=True))
        finally:
            writer.close()
            behind[1].close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        user = parts.username or "postgres"
        between.dsn = f"postgresql://{user}@127.0.0.1:{port}{parts.path}"
        try:
            yield between
        finally:
            for task in served:
                task.cancel()
            await asyncio.gather(*served, return_exceptions=True)


async def crash(server: EmbeddedServer) -> None:
    """Stop the server immediately, as by a power cut, and start it again as it was started."""
    await restart(server, "immediate")


async def restart(server: EmbeddedServer, mode: str) -> None:
    """Stop the server in one of pg_ctl's modes, and start it again with this process's limits."""

    def run() -> None:
        subprocess.run(
            [server.binaries / "pg_ctl", "restart", "-m", mode, "-w", "-D", server.data.name],
            user=server.system_user,
            cwd=server.data.parent,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=LIMIT,
        )

    await asyncio.to_thread(run)
