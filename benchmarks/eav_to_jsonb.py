"""Attributes and extras from rows to JSONB (0037): aiidadb, aiida-core's migrator, and the floor.

aiida-core 2.9.4 makes the database itself, with its own migrator, up to ``django_0036``. It is
filled with rows as AiiDA 0.x has them, and copied for each run. aiida-core goes on with its own
``django_0037``, node by node; aiidadb runs its step 0037 with ``migrate("1.0.37")``. The floor is
one aggregation of the rows into JSONB, not nested, and one rewrite of the table of nodes, in which
the documents do not arrive. aiidadb's step lets the server use parallel workers where it has some;
neither of the others can.

``--rows 5000000`` is the large one; aiida-core is left out above a million rows, unless ``--peer``
asks for it. ``--own-shapes`` gives every node a key of its own: then no two nodes are alike, which
is the worst case for aiidadb.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import asyncpg
import psutil
from common import Report, Server, _aiida_profile, parser, profile_of, run
from eav_rows import fill_with_rows

import aiidadb
from aiidadb.migration.steps import STEPS
from aiidadb.version.schema_version import SchemaVersion

if TYPE_CHECKING:
    import argparse

_PEER_AT_MOST: Final = 1_000_000
_PEER: Final = "aiida-core, django_0037"
_FLOOR: Final = "floor: one aggregation, one rewrite"
_OURS: Final = "aiidadb, step 0037"
_WHOLE: Final = "aiidadb, migrate() as a whole"

# What aiida-core 1.6 left of its bookkeeping is missing where its successor made the database.
_BOOKKEEPING: Final = """
    drop table alembic_version;
    alter table django_migrations
        add column app text not null,
        add column name text not null,
        add column applied timestamptz not null;
    insert into django_migrations (app, name, applied)
    select 'db', name, now() from unnest($1::text[]) as name;
"""
_AGGREGATE: Final = """
    create temporary table {0}_documents on commit drop as
    select
        dbnode_id,
        jsonb_object_agg(
            key,
            case datatype
                when 'txt' then to_jsonb(tval)
                when 'float' then to_jsonb(fval)
                when 'int' then to_jsonb(ival)
                when 'bool' then to_jsonb(bval)
                when 'date' then to_jsonb(dval)
                when 'list' then '[]'
                when 'dict' then '{{}}'
            end
        ) as document
    from {0}
    group by dbnode_id
"""
_REWRITE: Final = """
    alter table db_dbnode add column attributes jsonb, add column extras jsonb;
    alter table db_dbnode
        alter column attributes type jsonb using '{}',
        alter column extras type jsonb using '{}'
"""


# ------------------------------------------------------------------ the three


def migrate_with_aiida(dsn: str, version: str) -> None:
    """Run aiida-core's own migrator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from aiida.manage.configuration import Profile
        from aiida.storage.psql_dos.migrator import PsqlDosMigrator

        with tempfile.TemporaryDirectory() as directory:
            profile = Profile("benchmark", _aiida_profile(dsn, Path(directory)))
            with PsqlDosMigrator(profile) as migrator:
                migrator.migrate_up(f"django@{version}")


async def reach_floor(dsn: str) -> float:
    """Aggregate and rewrite, without either having to do with the other; gives the seconds."""
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off", "work_mem": "64MB"})
    try:
        started = time.perf_counter()
        async with connection.transaction():
            for table in ("db_dbattribute", "db_dbextra"):
                await connection.execute(_AGGREGATE.format(table), timeout=3600)
            await connection.execute(_REWRITE, timeout=3600)
        return time.perf_counter() - started
    finally:
        await connection.close()


async def migrate_with_aiidadb(dsn: str) -> tuple[float, float]:
    """Run our step; gives the seconds of the step, and of all of it."""
    await with_bookkeeping(dsn)
    async with aiidadb.open_backend(profile_of(dsn), schema_check=False) as backend:
        started = time.perf_counter()
        report = await backend.schema.migrate("1.0.37", without_repository=True)
        whole = time.perf_counter() - started
    (step,) = report.steps
    return step.seconds, whole


# ------------------------------------------------------------------ memory


class PeakMemory:
    """The most memory of its own that this process, and the server for it, had at any moment.

    Shared buffers are not counted. The server's is None where it is on another machine.
    """

    def __init__(self, server_process: int) -> None:
        self._client = psutil.Process()
        self._postmaster: psutil.Process | None = None
        with contextlib.suppress(psutil.Error):
            backend = psutil.Process(server_process)
            if backend.name().startswith("postgres"):
                self._postmaster = backend.parent()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._before = self._own(self._client)
        self._others = {process.pid for process in self._children()}
        self.client = 0
        self.server: int | None = None if self._postmaster is None else 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.client = max(self.client, self._own(self._client) - self._before)
            if self.server is not None:
                # Backends and parallel workers that have come since.
                now = sum(
                    self._own(process)
                    for process in self._children()
                    if process.pid not in self._others
                )
                self.server = max(self.server, now)

    def _children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return [] if self._postmaster is None else self._postmaster.children()
        return []

    @staticmethod
    def _own(process: psutil.Process) -> int:
        with contextlib.suppress(psutil.Error):
            memory = process.memory_info()
            # "Unique" memory would count the shared buffers that no other process has used yet.
            return int(memory.rss - getattr(memory, "shared", 0))
        return 0


# ------------------------------------------------------------------ the benchmark


async def make_database(server: Server, rows: int, own_shapes: bool) -> tuple[str, int]:
    """The database that all runs start from: its DSN, and the number of its nodes."""
    name = f"aiidadb_benchmark_eav_{rows}{'_own' if own_shapes else ''}"
    await server.execute(f'drop database if exists "{name}" with (force)')
    await server.execute(f"create database \"{name}\" template template0 encoding 'UTF8'")
    dsn = server.dsn_of(name)
    await asyncio.to_thread(migrate_with_aiida, dsn, "django_0036")
    connection = await asyncpg.connect(dsn)
    try:
        return dsn, await fill_with_rows(connection, rows, own_shapes=own_shapes)
    finally:
        await connection.close()


async def with_bookkeeping(dsn: str) -> None:
    """Make a database look as AiiDA 1.x leaves it at 0036."""
    names = [
        step.name
        for step in STEPS.values()
        if step.version.line == "django" and step.version <= SchemaVersion.parse("1.0.36")
    ]
    connection = await asyncpg.connect(dsn)
    try:
        *structure, insert = _BOOKKEEPING.strip().rstrip(";").split(";")
        await connection.execute(";".join(structure))
        await connection.execute(insert, names)
    finally:
        await connection.close()


async def main(arguments: argparse.Namespace, server: Server) -> None:
    rows: int = arguments.rows
    with tempfile.TemporaryDirectory() as directory:
        os.environ["AIIDA_PATH"] = directory  # keeps it out of the user's own configuration
        dsn, nodes = await make_database(server, rows, arguments.own_shapes)
        try:
            await compare(arguments, server, dsn, nodes)
        finally:
            name = dsn.rpartition("/")[2].partition("?")[0]
            await server.execute(f'drop database if exists "{name}" with (force)')


async def compare(arguments: argparse.Namespace, server: Server, dsn: str, nodes: int) -> None:
    rows: int = arguments.rows
    with_peer = arguments.peer or rows <= _PEER_AT_MOST
    seconds: dict[str, list[float]] = {_OURS: [], _WHOLE: [], _FLOOR: []}
    if with_peer:
        seconds[_PEER] = []
    async with contextlib.AsyncExitStack() as copies:
        # All are dropped at the end: some file systems are slow to make files for a minute after
        # many were removed.
        memory = await measure_memory(await copies.enter_async_context(server.clone(dsn)))
        for _ in range(arguments.repeat):
            for _ in range(arguments.turns):
                copy = await copies.enter_async_context(server.clone(dsn))
                step, whole = await migrate_with_aiidadb(copy)
                seconds[_OURS].append(step)
                seconds[_WHOLE].append(whole)
                copy = await copies.enter_async_context(server.clone(dsn))
                seconds[_FLOOR].append(await reach_floor(copy))
            if with_peer:
                copy = await copies.enter_async_context(server.clone(dsn))
                started = time.perf_counter()
                await asyncio.to_thread(migrate_with_aiida, copy, "django_0037")
                seconds[_PEER].append(time.perf_counter() - started)

    shapes = ", every node with keys of its own" if arguments.own_shapes else ""
    group = f"{rows:,} rows, {nodes:,} nodes{shapes}"
    report = Report(
        f"eav_to_jsonb_{rows}{'_own_shapes' if arguments.own_shapes else ''}",
        f"rows to JSONB, {group}",
        {"rows": rows, "nodes": nodes, "own_shapes": arguments.own_shapes},
    )
    report.add(group, seconds)
    report.add(
        "peak of own memory, growth",
        {"aiidadb, client": [memory.client]}
        | ({} if memory.server is None else {"aiidadb, server": [memory.server]}),
        unit="B",
    )
    mine = report.median(group, _OURS)
    if with_peer:
        report.goal("aiida-core ÷ aiidadb", report.median(group, _PEER) / mine, ">=", 40)
    report.goal("aiidadb ÷ floor", mine / report.median(group, _FLOOR), "<=", 2)
    await report.finish(dsn)


async def measure_memory(dsn: str) -> PeakMemory:
    """Run our step while it is watched, before anything has grown; it is not timed."""
    connection = await asyncpg.connect(dsn)
    memory = PeakMemory(await connection.fetchval("select pg_backend_pid()"))
    await connection.close()
    with memory:
        await migrate_with_aiidadb(dsn)
    return memory


if __name__ == "__main__":
    options = parser(__doc__ or "", repeat=3)
    options.add_argument("--rows", type=int, default=250_000, help="of attributes and extras")
    options.add_argument("--turns", type=int, default=3, help="our runs for each of the peer's")
    options.add_argument("--own-shapes", action="store_true", help="no two nodes are alike")
    options.add_argument("--peer", action="store_true", help="run aiida-core on many rows too")
    run(main, options.parse_args())
