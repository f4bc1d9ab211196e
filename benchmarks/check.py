"""The check before a migration, held against the migration itself, on the same database.

The database is one as AiiDA 0.12.5 leaves it, at 1.0.8, without files. ``schema.check()`` is asked
of it before each migration of a copy to ``main_0002``, in the same run; the migration makes the
same check once more by itself, which is part of its time.
"""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING

import asyncpg
from common import Report, Server, parser, profile_of, run
from old_database import fill_old_database, make_old_schema

import aiidadb

if TYPE_CHECKING:
    import argparse

_GROUP = "from 1.0.8 to main_0002"


async def main(arguments: argparse.Namespace, server: Server) -> None:
    rows: int = arguments.rows
    name = f"aiidadb_benchmark_check_{rows}"
    await server.execute(f'drop database if exists "{name}" with (force)')
    await server.execute(f"create database \"{name}\" template template0 encoding 'UTF8'")
    dsn = server.dsn_of(name)
    connection = await asyncpg.connect(dsn)
    try:
        await make_old_schema(connection)
        nodes = await fill_old_database(connection, rows)
    finally:
        await connection.close()
    seconds: dict[str, list[float]] = {"check": [], "migration": []}
    try:
        for _ in range(arguments.repeat):
            async with server.clone(dsn) as copy:
                await measure(copy, seconds)
        report = Report(
            f"check_{rows}",
            f"the check before a migration, {rows:,} rows, {nodes:,} nodes",
            {"rows": rows, "nodes": nodes},
        )
        report.add(_GROUP, seconds)
        share = report.median(_GROUP, "check") / report.median(_GROUP, "migration")
        report.goal("check ÷ migration", share, "<=", 0.1)
        await report.finish(dsn)
    finally:
        await server.execute(f'drop database if exists "{name}" with (force)')


async def measure(dsn: str, seconds: dict[str, list[float]]) -> None:
    """Check a database, then migrate it."""
    with tempfile.TemporaryDirectory() as directory:
        async with aiidadb.open_backend(
            profile_of(dsn), schema_check=False, command_timeout=None
        ) as backend:
            started = time.perf_counter()
            check = await backend.schema.check(without_repository=True)
            seconds["check"].append(time.perf_counter() - started)
            assert not check.refused
            started = time.perf_counter()
            await backend.schema.migrate(without_repository=True, export_directory=directory)
            seconds["migration"].append(time.perf_counter() - started)


if __name__ == "__main__":
    options = parser(__doc__ or "", repeat=3)
    options.add_argument("--rows", type=int, default=5_000_000, help="of attributes and extras")
    run(main, options.parse_args())
