"""What the benchmarks share: a server, databases, the peer, timing, tables and result files.

Each script runs by itself: ``python benchmarks/closest_parents.py [--nodes 140000] [--dsn …]``. It
uses the server of ``--dsn`` or ``AIIDADB_TEST_DSN``, or else starts the embedded PostgreSQL. The
filled databases stay on that server for the next script, named ``aiidadb_benchmark_…``; ``--drop``
drops them. Peer, floor and aiidadb are measured in turn, in the same run, so that what else the
machine does affects all; medians are reported.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import asyncpg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

# A checkout is enough: the package need not be installed.
sys.path.insert(0, str(Path(__file__).parent.parent))

import aiidadb
from aiidadb.demo.campaign import USERS, fill_with_campaign
from aiidadb.demo.embedded_server import embedded_server
from aiidadb.sql import SCHEMAS

if TYPE_CHECKING:
    from aiida.storage.psql_dos.backend import PsqlDosBackend

RESULTS: Final = Path(__file__).parent / "results"
STRUCTURE: Final = "data.core.structure.StructureData."
BANDS: Final = "data.core.array.bands.BandsData."
_PREFIX: Final = "aiidadb_benchmark"
_CREATE: Final = "create database \"{}\" template template0 encoding 'UTF8'"

console = Console()


# ------------------------------------------------------------------------------- the command line


def parser(description: str, *, nodes: int = 140_000, repeat: int = 7) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--nodes", type=int, default=nodes, help="nodes of the campaign")
    made.add_argument("--seed", type=int, default=0, help="seed of the campaign")
    made.add_argument(
        "--dsn",
        default=os.environ.get("AIIDADB_TEST_DSN"),
        help="a server where databases may be made; None: an embedded one",
    )
    made.add_argument("--data", type=Path, help="where the embedded server keeps its data")
    made.add_argument("--repeat", type=int, default=repeat, help="timed runs of each")
    made.add_argument("--drop", action="store_true", help="drop the filled databases at the end")
    return made


# ------------------------------------------------------------------------------------ the servers


@dataclass
class Server:
    """A PostgreSQL where the benchmarks make databases."""

    dsn: str
    drop: bool = False
    _made: list[str] = field(default_factory=list)

    def dsn_of(self, database: str) -> str:
        """The DSN of one of its databases."""
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{database}"))

    async def execute(self, statement: str) -> None:
        """Run a statement that is about databases, not in one."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement, timeout=3600)
        finally:
            await connection.close()

    async def campaign(self, nodes: int, seed: int = 0) -> str:
        """The DSN of a database with a campaign, made now unless it is there already."""
        name = f"{_PREFIX}_{nodes}_{seed}"
        if self.drop:
            self._made.append(name)
        connection = await asyncpg.connect(self.dsn)
        try:
            # The comment is written last: what has none was left half way.
            finished = await connection.fetchval(
                "select shobj_description(oid, 'pg_database') from pg_database where datname = $1",
                name,
            )
            if finished:
                return self.dsn_of(name)
            await connection.execute(f'drop database if exists "{name}" with (force)')
            await connection.execute(
                f"create database \"{name}\" template template0 encoding 'UTF8'"
            )
        finally:
            await connection.close()
        await _fill(self.dsn_of(name), nodes, seed)
        await self.execute(f"comment on database \"{name}\" is 'campaign of {nodes} nodes'")
        return self.dsn_of(name)

    @contextlib.asynccontextmanager
    async def clone(self, dsn: str) -> AsyncIterator[str]:
        """A copy of a database, dropped at the end."""
        source = urlsplit(dsn).path[1:]
        name = f"{_PREFIX}_clone_{os.getpid()}_{time.monotonic_ns()}"
        await self.execute(f'create database "{name}" template "{source}"')
        try:
            yield self.dsn_of(name)
        finally:
            await self.execute(f'drop database if exists "{name}" with (force)')

    @contextlib.asynccontextmanager
    async def empty(self) -> AsyncIterator[str]:
        """A database with the schema and nothing in it, dropped at the end."""
        name = f"{_PREFIX}_empty_{os.getpid()}_{time.monotonic_ns()}"
        await self.execute(_CREATE.format(name))
        try:
            connection = await asyncpg.connect(self.dsn_of(name))
            try:
                await connection.execute(SCHEMAS["main_0002"])
            finally:
                await connection.close()
            yield self.dsn_of(name)
        finally:
            await self.execute(f'drop database if exists "{name}" with (force)')

    async def close(self) -> None:
        """Drop what was to be dropped."""
        for name in self._made:
            await self.execute(f'drop database if exists "{name}" with (force)')


async def _fill(dsn: str, nodes: int, seed: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMAS["main_0002"])
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task(f"a campaign of {nodes:,} nodes", total=nodes)
            await fill_with_campaign(
                connection,
                nodes=nodes,
                seed=seed,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        await _vacuum(connection)
    finally:
        await connection.close()


async def _vacuum(connection: asyncpg.Connection) -> None:
    """Vacuum until nearly all pages are marked as visible to all, as in a database at rest.

    One VACUUM does not do it where the commit of the rows is not yet flushed, or an ANALYZE of the
    server's own holds a snapshot meanwhile; index-only scans then read the table after all.
    """
    for _ in range(20):
        await connection.execute("checkpoint", timeout=3600)
        await connection.execute("vacuum analyze", timeout=3600)
        if await connection.fetchval(
            "select min(relallvisible::float8 / relpages) > 0.99 from pg_class "
            "where relkind = 'r' and relpages > 1000"
        ):
            break
        await asyncio.sleep(1)
    else:
        sys.exit("VACUUM does not mark the pages as visible: is there an old transaction?")
    await connection.execute("checkpoint", timeout=3600)


@contextlib.contextmanager
def server_dsn(arguments: argparse.Namespace) -> Iterator[str]:
    """The DSN of the server that the command line asks for."""
    if arguments.dsn:
        yield arguments.dsn
        return
    with embedded_server(
        arguments.data, durable=False, settings={"shared_buffers": "1GB"}
    ) as server:
        yield server.dsn


def run(
    main: Callable[[argparse.Namespace, Server], Awaitable[None]], arguments: argparse.Namespace
) -> None:
    """Run a benchmark on the server that the command line asks for."""

    async def with_server(dsn: str) -> None:
        server = Server(dsn, drop=arguments.drop)
        try:
            await main(arguments, server)
        finally:
            await server.close()

    with server_dsn(arguments) as dsn:
        asyncio.run(with_server(dsn))


def profile_of(dsn: str) -> aiidadb.Profile:
    return aiidadb.Profile.from_dsn(dsn, default_user_email=USERS[0])


async def bands_of(connection: asyncpg.Connection, number: int | None = None) -> list[int]:
    """Pks of so many bands, chosen at random but always the same; all of them for None."""
    rows = await connection.fetch(
        "select id from db_dbnode where node_type = $1 order by id", BANDS
    )
    pks = [row["id"] for row in rows]
    if number is None:
        return pks
    if number > len(pks):
        sys.exit(f"the campaign has {len(pks):,} bands, fewer than {number:,}: give more --nodes")
    return sorted(random.Random(0).sample(pks, number))


# --------------------------------------------------------------------------------------- the peer


@contextlib.asynccontextmanager
async def aiida_storage(dsn: str) -> AsyncIterator[PsqlDosBackend]:
    """aiida-core's own storage backend on a database, with an empty file repository."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["AIIDA_PATH"] = directory  # keeps it out of the user's own configuration
        # Deprecations that it meets in itself and in what it needs.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import aiida.orm  # noqa: F401 - slow, and not what is measured
            from aiida.manage.configuration import Profile, get_config
            from aiida.storage.psql_dos.backend import PsqlDosBackend

            get_config(create=True)  # switches its warnings on
        warnings.simplefilter("ignore")
        connection = await asyncpg.connect(dsn)
        try:
            # Of a repository that an earlier run had.
            await connection.execute("delete from db_dbsetting where key = 'repository|uuid'")
        finally:
            await connection.close()
        theirs = Profile("benchmark", _aiida_profile(dsn, Path(directory) / "repository"))
        PsqlDosBackend.initialise(theirs)
        storage = PsqlDosBackend(theirs)
        try:
            yield storage
        finally:
            storage.get_session().close()
            storage.close()


def _aiida_profile(dsn: str, repository: Path) -> dict[str, object]:
    parts = urlsplit(dsn)
    name = parts.path[1:]
    if socket := parse_qs(parts.query).get("host"):
        # aiida-core puts its settings into a URL unquoted, where a path can be no host.
        name = f"{name}?host={socket[0]}"
    return {
        "PROFILE_UUID": "8b9e6c52-3c5f-4a6c-9c3e-0a9d5b8f3f10",
        "default_user_email": USERS[0],
        "storage": {
            "backend": "core.psql_dos",
            "config": {
                "database_engine": "postgresql_psycopg",
                "database_hostname": parts.hostname,
                "database_port": parts.port or 5432,
                "database_username": unquote(parts.username or "postgres"),
                "database_password": unquote(parts.password or ""),
                "database_name": name,
                "repository_uri": repository.as_uri(),
            },
        },
        "process_control": {"backend": None, "config": {}},
        "test_profile": True,
    }


# ----------------------------------------------------------------------------------------- timing

Timed = Callable[[], object]


async def measure(
    contestants: Mapping[str, Timed],
    *,
    repeat: int,
    warmup: int = 1,
    in_a_row: Mapping[str, int] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time functions in turn: A B C, A B C, and so on.

    Args:
        contestants: Name to a function without arguments, or to one that gives an awaitable.
        repeat: How many runs of each are kept.
        warmup: How many runs of each come first and are not kept.
        in_a_row: How often those run in each turn that are much shorter than the others.
        clock: What gives the seconds, such as :func:`processor_time` of some sessions.

    Returns:
        Name to seconds, run by run.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warmup + repeat):
        for name, contestant in contestants.items():
            for _ in range((in_a_row or {}).get(name, 1)):
                started = clock()
                outcome = contestant()
                if inspect.isawaitable(outcome):
                    await outcome
                if turn >= warmup:
                    seconds[name].append(clock() - started)
    return seconds


def processor_time(*servers: int) -> float:
    """Seconds for which this process and some of the server's have had a processor, on Linux.

    What else a machine does makes the time that passes several times as long, and this little.

    Args:
        servers: The ids of the processes that serve this one's connections.
    """
    seconds = time.process_time()
    for server in servers:
        nanoseconds = Path(f"/proc/{server}/schedstat").read_text(encoding="ascii").split()[0]
        seconds += int(nanoseconds) / 1e9
    return seconds


async def server_of(backend: aiidadb.Backend) -> int:
    """The process that serves a backend, which must have been opened with ``max_size=1``."""
    async with backend.transaction() as connection:
        return int(connection.get_server_pid())


def server_of_aiida(storage: PsqlDosBackend) -> int:
    """The process that serves aiida-core's storage."""
    from sqlalchemy import text

    session = storage.get_session()
    pid = session.execute(text("select pg_backend_pid()")).scalar_one()
    session.commit()
    return int(pid)


# ---------------------------------------------------------------------------------------- results


def _commit() -> str | None:
    """The commit that is measured, with a ``+`` where files differ from it; None without git."""
    git = ("git", "-C", str(Path(__file__).parent))
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        commit = subprocess.check_output((*git, "rev-parse", "--short", "HEAD"), text=True).strip()
        changed = subprocess.check_output(
            (*git, "status", "--porcelain", "--", "../aiidadb", "../sql")
        )
        return f"{commit}+" if changed else commit
    return None


def _processor() -> str:
    """The processor's name, as far as the system reports it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Goal:
    """What a ratio must reach."""

    what: str
    value: float
    sign: str  # ">=" or "<="
    must: float

    @property
    def reached(self) -> bool:
        """Whether it does."""
        return self.value >= self.must if self.sign == ">=" else self.value <= self.must


@dataclass
class Report:
    """What one benchmark found; :meth:`finish` shows and writes it."""

    name: str
    title: str
    parameters: dict[str, object]
    measurements: list[dict[str, object]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, group: str, seconds: Mapping[str, list[float]], *, unit: str = "s") -> None:
        """Add measurements that belong together, and are drawn together."""
        for name, values in seconds.items():
            self.measurements.append(
                {
                    "group": group,
                    "name": name,
                    "unit": unit,
                    "median": statistics.median(values),
                    "values": list(values),
                }
            )

    def median(self, group: str, name: str) -> float:
        """The median of one measurement."""
        return statistics.median(self._values(group, name))

    def growth(
        self, group: str, small: str, large: str, *, small_group: str | None = None
    ) -> float:
        """How many times as long the larger of two takes: the fastest runs, beside each other.

        Whatever else a machine does makes a run longer, the short ones more than the long ones.
        """
        return min(self._values(group, large)) / min(self._values(small_group or group, small))

    def _values(self, group: str, name: str) -> list[float]:
        for one in self.measurements:
            if (one["group"], one["name"]) == (group, name):
                return list(one["values"])  # type: ignore[call-overload]
        raise KeyError((group, name))

    def goal(self, what: str, value: float, sign: str, must: float) -> None:
        """Add a ratio, and what it must reach."""
        self.goals.append(Goal(what, value, sign, must))

    def note(self, text: str) -> None:
        """Add a line that explains the figures."""
        self.notes.append(text)

    async def finish(self, dsn: str) -> None:
        """Show the tables and write ``results/NAME.json``."""
        connection = await asyncpg.connect(dsn)
        try:
            server = await connection.fetchval("show server_version")
        finally:
            await connection.close()
        self._show()
        RESULTS.mkdir(exist_ok=True)
        content = {
            "name": self.name,
            "title": self.title,
            "parameters": self.parameters,
            "environment": {
                "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                "commit": _commit(),
                "processor": _processor(),
                "aiida-core": version("aiida-core"),
                "asyncpg": version("asyncpg"),
                "postgresql": server.split()[0],
                "python": platform.python_version(),
                "cores": os.cpu_count(),
                # Of the last minute, five and fifteen: what else ran, ours and the server's too.
                "load": [round(load, 1) for load in os.getloadavg()],
            },
            "measurements": self.measurements,
            "goals": [asdict(goal) | {"reached": goal.reached} for goal in self.goals],
            "notes": self.notes,
        }
        path = RESULTS / f"{self.name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        console.print(f"written: {path}")

    def _show(self) -> None:
        table = Table(title=self.title, title_justify="left")
        for heading in ("what", "who", "median", "fastest", "slowest", "runs"):
            table.add_column(heading, justify="left" if heading in {"what", "who"} else "right")
        last = None
        for one in self.measurements:
            values = [float(value) for value in one["values"]]  # type: ignore[attr-defined]
            if last not in (None, one["group"]):
                table.add_section()
            table.add_row(
                "" if one["group"] == last else str(one["group"]),
                str(one["name"]),
                *(
                    amount(number, str(one["unit"]))
                    for number in (statistics.median(values), min(values), max(values))
                ),
                str(len(values)),
            )
            last = one["group"]
        console.print(table)
        for note in self.notes:
            console.print(f"- {note}")
        if self.goals:
            goals = Table(title="goals", title_justify="left")
            for heading in ("what", "reached", "must be", ""):
                goals.add_column(heading, justify="left" if heading == "what" else "right")
            for goal in self.goals:
                goals.add_row(
                    goal.what,
                    f"{goal.value:,.3g}" if goal.value < 1000 else f"{goal.value:,.0f}",
                    f"{'≥' if goal.sign == '>=' else '≤'} {goal.must:g}",
                    "[green]yes[/]" if goal.reached else "[red]no[/]",
                )
            console.print(goals)


def amount(value: float, unit: str) -> str:
    """A figure for people: seconds in the unit that fits, bytes in MB."""
    if unit == "s":
        return f"{value * 1000:,.1f} ms" if value < 1 else f"{value:,.2f} s"
    if unit == "B":
        return f"{value / 2**20:,.0f} MB" if value >= 2**20 else f"{value / 2**10:,.0f} kB"
    return f"{value:,.0f} {unit}"
