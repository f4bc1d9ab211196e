r"""The whole chain of the SQLAlchemy backend, from AiiDA 0.12.5 to the head of 2.x.

Measured are aiidadb on this line, aiidadb on the Django line with as many nodes, and aiida-core
2.1.2 on this line, its last release that migrates such a database: 2.2 and later fail with "pending
trigger events". All take the files too. The databases are genuine ones of AiiDA 0.12.5, multiplied;
each run has a copy of the database and the files as they were. aiida-core stops at ``main_0001``,
its head; aiidadb goes on to ``main_0002``. What a Python takes to start and to import is not
counted.

aiida-core takes part where ``--aiida-2-1-python`` names the Python of an environment that has it::

    python3.10 -m venv aiida-core-2.1.2
    echo 'cython<3' > constraints.txt  # which building PyYAML 5.4 needs
    PIP_CONSTRAINT=constraints.txt aiida-core-2.1.2/bin/pip install \
        aiida-core==2.1.2 'sqlalchemy<2' psycopg2-binary
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
from common import Report, Server, _aiida_profile, parser, run
from multiplied_database import DJANGO, SQLALCHEMY, Genuine, multiply_database, multiply_files

import aiidadb

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

_OURS: Final = "aiidadb"
_DJANGO: Final = "aiidadb, Django line"
_PEER: Final = "aiida-core 2.1.2"


@dataclass(frozen=True)
class Source:
    """A multiplied database and its repository."""

    server: Server
    dsn: str
    repository: Path


async def migrate_with_aiidadb(source: Source) -> float:
    """Run our chain to its end on a copy of the database; gives its seconds."""
    async with source.server.clone(source.dsn) as dsn:
        profile = aiidadb.Profile.from_dsn(dsn, repository=source.repository)
        try:
            async with aiidadb.open_backend(profile, schema_check=False) as backend:
                started = time.perf_counter()
                report = await backend.schema.migrate(
                    export_directory=source.repository.parent / "exports"
                )
                seconds = time.perf_counter() - started
        finally:
            # What it adds; nodes' folders are as they were.
            shutil.rmtree(source.repository / "container", ignore_errors=True)
            shutil.rmtree(source.repository.parent / "exports", ignore_errors=True)
    assert str(report.version) == "main_0002", "the whole way"
    return seconds


async def migrate_with_aiida(source: Source, python: Path) -> float:
    """Have aiida-core 2.1.2 migrate copies, in a process of its own; gives its seconds."""
    async with source.server.clone(source.dsn) as dsn:
        with tempfile.TemporaryDirectory(dir=source.repository.parent) as name:
            directory = Path(name)
            repository = directory / "repository"
            # It deletes files and changes none: hard links will do.
            await asyncio.to_thread(
                shutil.copytree, source.repository, repository, copy_function=os.link
            )
            await asyncio.to_thread(os.sync)  # or its run would wait for the copy to be written
            told = directory / "told.json"
            process = await asyncio.create_subprocess_exec(
                python,
                Path(__file__).with_name("migrate_with_aiida_2_1.py"),
                json.dumps(_profile(dsn, repository)),
                told,
                cwd=directory,
                env={**os.environ, "AIIDA_PATH": str(directory), "PYTHONPATH": ""},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await process.communicate()
            if process.returncode:
                raise SystemExit(f"{_PEER} failed:\n{output.decode()[-3000:]}")
            return float(json.loads(told.read_text(encoding="utf-8"))["seconds"])


def _profile(dsn: str, repository: Path) -> dict[str, object]:
    """A profile as AiiDA 2.1 has it."""
    profile = _aiida_profile(dsn, repository)
    storage = profile["storage"]
    assert isinstance(storage, dict)
    storage["config"]["database_engine"] = "postgresql_psycopg2"
    return {**profile, "storage": {**storage, "backend": "psql_dos"}}


@contextlib.asynccontextmanager
async def multiplied(server: Server, genuine: Genuine, nodes: int) -> AsyncIterator[Source]:
    """A database of so many nodes, roughly, and its files, gone at the end."""
    copies = genuine.copies(nodes)
    name = f"aiidadb_benchmark_{genuine.dump.partition('/')[0]}_{os.getpid()}"
    await server.execute(f"create database \"{name}\" template template0 encoding 'UTF8'")
    try:
        with tempfile.TemporaryDirectory(prefix=f"{name}_") as directory:
            repository = Path(directory) / "genuine"
            dsn = server.dsn_of(name)
            connection = await asyncpg.connect(dsn)
            try:
                await multiply_database(connection, genuine, copies)
            finally:
                await connection.close()
            await asyncio.to_thread(multiply_files, genuine, repository, copies)
            yield Source(server, dsn, repository)
    finally:
        await server.execute(f'drop database if exists "{name}" with (force)')


async def main(arguments: argparse.Namespace, server: Server) -> None:
    logging.disable(logging.WARNING)
    async with (
        multiplied(server, SQLALCHEMY, arguments.nodes) as ours,
        multiplied(server, DJANGO, arguments.nodes) as django,
    ):
        seconds = await measure(arguments, ours, django)
        counts = [
            genuine.copies(arguments.nodes) * genuine.nodes for genuine in (SQLALCHEMY, DJANGO)
        ]
        report = Report(
            f"migration_sqlalchemy_{arguments.nodes}",
            f"7a6587e16f4c to main_0002, with files: {counts[0]:,} nodes",
            {"nodes": counts[0], "nodes of the Django line": counts[1]},
        )
        group = "to the head of 2.x"
        report.add(group, seconds)
        mine = report.median(group, _OURS)
        ratio = mine / report.median(group, _DJANGO)
        report.goal(f"{_OURS} ÷ {_DJANGO}", ratio, "<=", 1)
        if _PEER in seconds:
            report.goal(f"{_PEER} ÷ {_OURS}", report.median(group, _PEER) / mine, ">=", 5)
        await report.finish(ours.dsn)


async def measure(
    arguments: argparse.Namespace, ours: Source, django: Source
) -> dict[str, list[float]]:
    """All in turn, each on a copy of its own; the time of making it is not counted."""
    seconds: dict[str, list[float]] = defaultdict(list)
    await migrate_with_aiidadb(ours)  # what is imported is imported once
    for _ in range(arguments.repeat):
        for _ in range(arguments.turns):
            seconds[_OURS].append(await migrate_with_aiidadb(ours))
            seconds[_DJANGO].append(await migrate_with_aiidadb(django))
        if arguments.aiida_2_1_python is not None:
            seconds[_PEER].append(await migrate_with_aiida(ours, arguments.aiida_2_1_python))
    return dict(seconds)


if __name__ == "__main__":
    options = parser(__doc__ or "", nodes=18_000, repeat=3)
    options.add_argument("--turns", type=int, default=2, help="our runs for each of the peer's")
    options.add_argument(
        "--aiida-2-1-python", type=Path, help="the Python of an environment with aiida-core 2.1.2"
    )
    run(main, options.parse_args())
