"""The whole chain, from AiiDA 0.12.5 to the heads of 1.x and 2.x: aiidadb and aiida-core.

The database is one as AiiDA 0.12.5 leaves it, at 1.0.8. aiidadb migrates copies of it to 1.0.45 and
to main_0002. aiida-core 2.9.4 fails at such a database, whose indexes Django named: it migrates one
that it made itself at ``django_0008``, with the same rows. aiida-core 1.6.9, which goes to 1.0.45,
has copies of the same as aiidadb, and takes part where ``--aiida-1-python`` names the Python of an
environment that has it. What its Python takes to start is not counted, nor is the import of
packages. The nodes have no files; the repository is empty.

``--steps`` also reports how long each step takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import statistics
import tempfile
import time
import uuid
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from common import Report, Server, _aiida_profile, amount, console, parser, run
from old_database import OLD_VERSION, fill_old_database, make_old_schema
from rich.table import Table

import aiidadb
from aiidadb.migration.steps import STEPS

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterator, Mapping

    from alembic.config import Config
    from alembic.runtime.migration import MigrationInfo

_OURS: Final = "aiidadb"
_TWO: Final = "aiida-core 2.9.4"
_ONE: Final = "aiida-core 1.6.9"
_REVISIONS: Final = {"1.0.45": "django@django_0045", "main_0002": None}


@dataclass(frozen=True)
class Measured:
    """One run: seconds of all, and of each step by its number or name."""

    seconds: float
    steps: Mapping[str, float]


# ------------------------------------------------------------------ the three


async def migrate_with_aiidadb(dsn: str, target: str) -> Measured:
    """Run our chain."""
    with tempfile.TemporaryDirectory() as directory:
        profile = aiidadb.Profile.from_dsn(dsn, repository=_empty_repository(Path(directory)))
        async with aiidadb.open_backend(profile, schema_check=False) as backend:
            started = time.perf_counter()
            report = await backend.schema.migrate(
                target, without_repository=True, export_directory=directory
            )
            seconds = time.perf_counter() - started
    return Measured(seconds, {step.version.schema_name: step.seconds for step in report.steps})


def migrate_with_aiida_2(dsn: str, target: str | None) -> Measured:
    """Run aiida-core 2.9.4's own migrator; to main_0002 for None."""
    steps: dict[str, float] = defaultdict(float)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as name:
        warnings.simplefilter("ignore")
        from aiida.manage.configuration import Profile
        from aiida.storage.psql_dos.migrator import PsqlDosMigrator

        class Migrator(PsqlDosMigrator):
            @contextlib.contextmanager
            def _alembic_connect(self) -> Iterator[Config]:
                with super()._alembic_connect() as config:
                    config.attributes["on_version_apply"] = self.note
                    yield config

            def note(self, step: MigrationInfo, **_: object) -> None:
                nonlocal last
                now = time.perf_counter()
                steps[step.up_revision_id.removesuffix("a")] += now - last  # 0024 comes in two
                last = now

        directory = Path(name)
        repository = _empty_repository(directory)
        with (
            contextlib.chdir(directory),
            contextlib.redirect_stderr(io.StringIO()),
            Migrator(Profile("benchmark", _aiida_profile(dsn, repository))) as migrator,
        ):
            started = last = time.perf_counter()
            # Not all at once: its migrate() fails at 0024 where there are logs of gone nodes.
            migrator.migrate_up(target or "django@django_0050")
            if target is None:
                migrator.migrate()
            return Measured(time.perf_counter() - started, steps)


async def migrate_with_aiida_1(dsn: str, python: Path) -> Measured:
    """Have aiida-core 1.6.9 migrate, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        folder = directory / ".aiida"
        folder.mkdir()
        configuration = {
            "CONFIG_VERSION": {"CURRENT": 5, "OLDEST_COMPATIBLE": 5},
            "default_profile": "benchmark",
            "profiles": {"benchmark": _old_profile(dsn, _empty_repository(directory))},
        }
        (folder / "config.json").write_text(json.dumps(configuration), encoding="utf-8")
        told = directory / "told.json"
        process = await asyncio.create_subprocess_exec(
            python,
            Path(__file__).with_name("migrate_with_aiida_1.py"),
            directory,
            told,
            cwd=directory,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate(b"y\n" * 20)
        if process.returncode:
            raise SystemExit(f"aiida-core 1.6.9 failed:\n{output.decode()[-3000:]}")
        found = json.loads(told.read_text(encoding="utf-8"))
    steps = {f"django_{name[:4]}": took for app, name, took in found["steps"] if app == "db"}
    return Measured(found["seconds"], steps)


def _empty_repository(directory: Path) -> Path:
    repository = directory / "repository"
    (repository / "repository" / "node").mkdir(parents=True)
    return repository


def _old_profile(dsn: str, repository: Path) -> dict[str, object]:
    """A profile as AiiDA 1.6 has it."""
    parts = urlsplit(dsn)
    return {
        "PROFILE_UUID": uuid.uuid4().hex,
        "AIIDADB_ENGINE": "postgresql_psycopg2",
        "AIIDADB_BACKEND": "django",
        "AIIDADB_NAME": parts.path[1:],
        "AIIDADB_HOST": parse_qs(parts.query).get("host", [parts.hostname])[0],
        "AIIDADB_PORT": parts.port or 5432,
        "AIIDADB_USER": unquote(parts.username or "postgres"),
        "AIIDADB_PASS": unquote(parts.password or ""),
        "AIIDADB_REPOSITORY_URI": repository.as_uri(),
        "default_user_email": "ada@epfl.ch",
        "options": {},
    }


# ------------------------------------------------------------------ the databases


@contextlib.asynccontextmanager
async def filled(server: Server, rows: int, *, by_aiida: bool) -> AsyncIterator[tuple[str, int]]:
    """A database at 1.0.8, dropped at the end: its DSN and the number of its nodes."""
    name = f"aiidadb_benchmark_chain_{os.getpid()}{'_by_aiida' if by_aiida else ''}"
    await server.execute(f"create database \"{name}\" template template0 encoding 'UTF8'")
    dsn = server.dsn_of(name)
    try:
        if by_aiida:
            await asyncio.to_thread(migrate_with_aiida_2, dsn, "django@django_0008")
        connection = await asyncpg.connect(dsn)
        try:
            if not by_aiida:
                await make_old_schema(connection)
            nodes = await fill_old_database(connection, rows)
        finally:
            await connection.close()
        yield dsn, nodes
    finally:
        await server.execute(f'drop database if exists "{name}" with (force)')


# ------------------------------------------------------------------ the benchmark


async def main(arguments: argparse.Namespace, server: Server) -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.environ["AIIDA_PATH"] = directory  # keeps it out of the user's own configuration
        logging.disable(logging.WARNING)
        async with (
            filled(server, arguments.rows, by_aiida=False) as (ours, nodes),
            filled(server, arguments.rows, by_aiida=True) as (theirs, _),
        ):
            await compare(arguments, server, ours, theirs, nodes)


Runs = dict[str, dict[str, list[Measured]]]
"""By target and name."""


async def compare(
    arguments: argparse.Namespace, server: Server, ours: str, theirs: str, nodes: int
) -> None:
    async with server.clone(ours) as copy:  # what is imported is imported once
        await migrate_with_aiidadb(copy, "main_0002")
    runs = await measure(arguments, server, ours, theirs)
    title = f"{OLD_VERSION} to the heads: {nodes:,} nodes, {arguments.rows:,} rows"
    report = Report(
        f"migration_chain_{arguments.rows}", title, {"rows": arguments.rows, "nodes": nodes}
    )
    for target, of_target in runs.items():
        group = f"to {target}"
        report.add(group, {who: [run.seconds for run in of_target[who]] for who in of_target})
        mine = report.median(group, _OURS)
        for peer in of_target.keys() - {_OURS}:
            ratio = report.median(group, peer) / mine
            if peer == _ONE:
                report.goal(f"{group}: {peer} ÷ aiidadb", ratio, ">=", 10)
            else:
                report.note(f"{group}: {peer} takes {ratio:.1f} times as long")
    if arguments.steps:
        show_steps(runs)
    await report.finish(ours)


async def measure(arguments: argparse.Namespace, server: Server, ours: str, theirs: str) -> Runs:
    """All in turn, each on a copy of its own."""
    runs: Runs = {target: defaultdict(list) for target in _REVISIONS}
    for _ in range(arguments.repeat):
        for target, revision in _REVISIONS.items():
            for _ in range(arguments.turns):
                async with server.clone(ours) as copy:
                    runs[target][_OURS].append(await migrate_with_aiidadb(copy, target))
            if target == "1.0.45" and arguments.aiida_1_python is not None:
                async with server.clone(ours) as copy:
                    old = await migrate_with_aiida_1(copy, arguments.aiida_1_python)
                runs[target][_ONE].append(old)
            async with server.clone(theirs) as copy:
                new = await asyncio.to_thread(migrate_with_aiida_2, copy, revision)
            runs[target][_TWO].append(new)
    return runs


def show_steps(runs: Runs) -> None:
    """A table of the steps: the median of all runs that had them."""
    everybody = [who for who in (_OURS, _ONE, _TWO) if any(who in found for found in runs.values())]
    table = Table(title="step by step", title_justify="left")
    table.add_column("step", no_wrap=True, overflow="ellipsis", max_width=30)
    for who in everybody:
        table.add_column(who, justify="right", no_wrap=True)
    for version, step in STEPS.items():
        name = version.schema_name
        cells = []
        for who in everybody:
            seconds = [
                run.steps[name]
                for found in runs.values()
                for run in found.get(who, ())
                if name in run.steps
            ]
            cells.append(amount(statistics.median(seconds), "s") if seconds else "")
        if any(cells):
            table.add_row(step.name if version.line == "django" else name, *cells)
    console.print(table)


if __name__ == "__main__":
    options = parser(__doc__ or "", repeat=3)
    options.add_argument("--rows", type=int, default=257_000, help="of attributes and extras")
    options.add_argument("--turns", type=int, default=3, help="our runs for each of the peers'")
    options.add_argument("--steps", action="store_true", help="report how long each step takes")
    options.add_argument(
        "--aiida-1-python", type=Path, help="the Python of an environment with aiida-core 1.6.9"
    )
    run(main, options.parse_args())
