"""What ``aiidadb demo`` shows, one stop after the other."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pypika import Query

from aiidadb.backend import open_backend
from aiidadb.cli.bands import BANDS_COLUMNS, bands_cells
from aiidadb.cli.output.charts import draw_days
from aiidadb.cli.output.console import echo, say
from aiidadb.cli.output.json_output import echo_json
from aiidadb.cli.output.progress import progress_bar, working
from aiidadb.cli.output.tables import table
from aiidadb.cli.signals import run_until_signal
from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.profiles.profile import Profile
from aiidadb.criteria.tables import links, nodes
from aiidadb.demo.campaign import GROUPS, USERS, fill_with_campaign
from aiidadb.demo.embedded_server import embedded_server
from aiidadb.exceptions import AiidaDbError, NotExistent, translate
from aiidadb.messages import plural

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence

    import asyncpg

    from aiidadb.backend import Backend
    from aiidadb.demo.embedded_server import EmbeddedServer
    from aiidadb.queries.bands import BandsRow

__all__ = ["run_tour"]

T = TypeVar("T")

STRUCTURE: Final = "data.core.structure.StructureData."
OLD_NODES: Final = 20_000  # in the database of AiiDA 1.6 that is migrated, at most
ASKED: Final = 500  # band structures whose structure is looked for
CALLS: Final = 200  # concurrent

_NEXT: Final = """
What you can do next:
  aiidadb status           see which version your AiiDA database has
  aiidadb stats            count its nodes by type and by day
  aiidadb migrate --check  see whether it can be migrated to AiiDA 2.x
  aiidadb demo --keep      next time, keep the database, and query it yourself
  aiidadb --help           see all commands
The README has programs in Python to begin with."""


def run_tour(number: int, *, keep: bool, as_json: bool) -> None:
    """Show it all on a server of its own; see :func:`aiidadb.cli.demo.demo`."""
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        with working("Starting a private PostgreSQL", shown=not as_json):
            server = stack.enter_context(embedded_server(durable=keep, keep=keep))
        tour = _Tour(server, number, as_json=as_json)
        tour.note("start a private PostgreSQL", time.perf_counter() - begin)
        run_until_signal(tour.run)
    seconds = time.perf_counter() - begin
    if as_json:
        kept = {"dsn": server.dsn_of("campaign"), "stop": _how_to_stop(server)} if keep else None
        echo_json({"seconds": round(seconds, 3), "stops": tour.stops, "kept": kept})
        return
    say(f"\nAll of it in {seconds:.1f} s.", "bold")
    if keep:
        dsn = shlex.quote(server.dsn_of("campaign"))
        stop = "\n  ".join(_how_to_stop(server))
        say(
            f"\nThe server is still running. Query the database, for example:\n"
            f"  aiidadb stats --dsn {dsn}\n"
            f"  aiidadb bands list --all-users --limit 5 --dsn {dsn}\n"
            f"In a notebook:\n"
            f"  backend = await aiidadb.open_backend({server.dsn_of('campaign')!r})\n"
            f"Stop the server and remove its files:\n  {stop}"
        )
    else:
        say(_NEXT)


def _how_to_stop(server: EmbeddedServer) -> list[str]:
    pid_file = shlex.quote(str(server.data / "postmaster.pid"))
    remove = shlex.join(["rm", "-rf", *map(str, server.directories)])
    return [
        f"kill -INT $(head -n 1 {pid_file})",
        # Pasted together with the line before: the server writes until it ends.
        f"while [ -e {pid_file} ]; do sleep 0.1; done; {remove}",
    ]


class _Tour:
    """What is shown, one stop after the other.

    Attributes:
        stops: For each stop what was called, its seconds, and what came of it.
    """

    def __init__(self, server: EmbeddedServer, nodes: int, *, as_json: bool) -> None:
        self.stops: list[dict[str, object]] = []
        self._server = server
        self._nodes = nodes
        self._as_json = as_json

    async def run(self) -> None:
        """Make the databases, fill them, ask, change, migrate."""
        profile = await self._database("campaign", "main_0002", self._nodes)
        async with open_backend(profile, max_size=10) as backend:
            await self._statistics(backend)
            rows = await self._bands(backend)
            await self._parents(backend, rows)
            await self._uuids(backend)
            await self._at_once(backend, rows)
            await self._settings(backend)
            await self._transaction(backend, rows)
            await self._deletion(backend, rows)
        await self._migration()

    def note(self, what: str, seconds: float) -> None:
        """Remember and show what was done, and how long it took."""
        self.stops.append({"what": what, "seconds": round(seconds, 5), "answers": []})
        if not self._as_json:
            taken = f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
            say(f"{taken:>9}  {what}", "bold")

    async def _timed(self, what: str, call: Awaitable[T]) -> T:
        with working(what, shown=not self._as_json):
            begin = time.perf_counter()
            answer = await call
            seconds = time.perf_counter() - begin
        self.note(what, seconds)
        return answer

    def _answer(self, text: str) -> None:
        """Remember and show what came of the last stop."""
        answers: Any = self.stops[-1]["answers"]
        answers.append(text)
        if not self._as_json:
            say(f"           {text}")

    # ------------------------------------------------------------------ the stops

    async def _database(self, name: str, version: str, nodes: int) -> Profile:
        async with _connected(Profile.from_dsn(self._server.dsn)) as connection:
            await connection.execute(f'create database "{name}"')
        profile = Profile.from_dsn(
            self._server.dsn_of(name), name=name, default_user_email=USERS[0]
        )
        async with open_backend(profile, schema_check=False) as backend:
            await self._timed(f"schema.initialise({version!r})", backend.schema.initialise(version))
        async with _connected(profile) as connection:
            with progress_bar(shown=not self._as_json) as bars:
                task = bars.add_task("Filling the database", total=nodes, count="")
                begin = time.perf_counter()
                made = await fill_with_campaign(
                    connection,
                    nodes=nodes,
                    progress=lambda done, total: bars.update(
                        task, completed=done, total=total, count=f"{done:,} of {total:,} nodes"
                    ),
                )
            self.note("fill it with workflows in AiiDA's shape", time.perf_counter() - begin)
        self._answer(
            f"{made.nodes:,} nodes, {made.links:,} links, {made.structures:,} structures, "
            f"{made.bands:,} bands"
        )
        return profile

    async def _statistics(self, backend: Backend) -> None:
        found = await self._timed(
            "queries.get_creation_statistics(timezone='UTC')",
            backend.queries.get_creation_statistics(timezone="UTC"),
        )
        self._answer(f"{found['total']:,} nodes on {len(found['ctime_by_day'])} days")
        if not self._as_json:
            draw_days(found["ctime_by_day"], 7)
            echo()

    async def _bands(self, backend: Backend) -> list[BandsRow]:
        rows = await self._timed(
            "queries.get_bands_and_parents_structure(all_users=True)",
            backend.queries.get_bands_and_parents_structure(all_users=True),
        )
        self._answer(f"{len(rows):,} band structures, each with its formula")
        some = await self._timed(
            f"… (group_name={GROUPS[0]!r}, element=['Si'], all_users=True)",
            backend.queries.get_bands_and_parents_structure(
                group_name=GROUPS[0], element=["Si"], all_users=True
            ),
        )
        self._answer(f"{len(some):,} of them; the first three:")
        if not self._as_json:
            table(
                None,
                BANDS_COLUMNS,
                map(bands_cells, some[:3]),
                indent=11,
            )
        return rows

    async def _parents(self, backend: Backend, rows: Sequence[BandsRow]) -> None:
        bands = [row.pk for row in rows[-ASKED:]]
        parents = await self._timed(
            f"queries.get_closest_parents({len(bands)} bands, node_type='{STRUCTURE[:10]}…')",
            backend.queries.get_closest_parents(bands, node_type=STRUCTURE),
        )
        self._answer(f"{len(parents)} have one, such as {_some(parents)}")
        begin = time.perf_counter()
        expected = await _search_breadth_first(backend, bands)
        self.note("the same, by a search in Python over all links", time.perf_counter() - begin)
        _require(parents == expected, "closest parents are not those of a plain search")
        self._answer("all answers are equal")

        ancestors = await self._timed(
            f"queries.get_all_parents({len(bands)} bands)", backend.queries.get_all_parents(bands)
        )
        self._answer(f"{len(ancestors):,} ancestors by links of data and calculations")

    async def _uuids(self, backend: Backend) -> None:
        duplicates = await self._timed(
            "queries.get_duplicate_uuids('db_dbnode')",
            backend.queries.get_duplicate_uuids("db_dbnode"),
        )
        self._answer(f"{len(duplicates)} of them" if duplicates else "none")

    async def _at_once(self, backend: Backend, rows: Sequence[BandsRow]) -> None:
        """Many concurrent calls on one event loop, and how long that loop was ever blocked."""
        calls = [
            backend.queries.get_closest_parents(row.pk, node_type=STRUCTURE)
            for row in rows[-CALLS:]
        ]
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                longest = max(longest, time.perf_counter() - before - 0.001)

        watching = asyncio.create_task(watch())
        await self._timed(
            f"{len(calls)} concurrent calls of get_closest_parents, on 10 connections", _all(calls)
        )
        watching.cancel()
        self._answer(f"none failed; the event loop was blocked for {longest * 1000:.0f} ms at most")

    async def _settings(self, backend: Backend) -> None:
        await self._timed(
            "settings.set('demo', {'x': 3.0}, 'what it is for')",
            backend.settings.set("demo", {"x": 3.0}, "what it is for"),
        )
        setting = await self._timed("settings.get('demo')", backend.settings.get("demo"))
        self._answer(f"{setting.value}, {setting.description!r}")
        await self._timed("settings.delete('demo')", backend.settings.delete("demo"))
        try:
            await backend.settings.get("demo")
        except NotExistent as error:
            self._answer(f"get('demo') then raises NotExistent: {error}")

    async def _transaction(self, backend: Backend, rows: Sequence[BandsRow]) -> None:
        async def delete_and_fail() -> None:
            with contextlib.suppress(ZeroDivisionError):
                async with backend.transaction():
                    await backend.delete_nodes_and_connections([row.pk for row in rows])
                    raise ZeroDivisionError

        await self._timed(
            f"delete {len(rows):,} nodes in a transaction that then fails", delete_and_fail()
        )
        after = await backend.queries.get_bands_and_parents_structure(all_users=True)
        _require(after == rows, "a transaction that failed left changes")
        self._answer("all are still there")

    async def _deletion(self, backend: Backend, rows: Sequence[BandsRow]) -> None:
        bands = [row.pk for row in rows[-3:]]
        parents = await backend.queries.get_closest_parents(bands, node_type=STRUCTURE)
        first = sorted(set(parents.values()))
        doomed = await self._timed(
            f"get_nodes_to_delete({first})", backend.get_nodes_to_delete(first)
        )
        self._answer(f"{len(doomed):,} nodes: AiiDA's rules include what was made from them")
        report = await self._timed(
            f"delete_nodes_and_connections(those {len(doomed):,})",
            backend.delete_nodes_and_connections(doomed),
        )
        self._answer(
            f"with {plural(report.links, 'link')}, "
            f"{plural(report.group_memberships, 'group membership')}, "
            f"{plural(report.comments, 'comment')}, {plural(report.logs, 'log')}"
        )

    async def _migration(self) -> None:
        profile = await self._database("of_aiida_1_6", "1.0.45", min(self._nodes, OLD_NODES))
        async with open_backend(profile) as backend:
            before = await backend.queries.get_bands_and_parents_structure(all_users=True)
            report = await self._timed(
                "schema.migrate('main_0002')",
                backend.schema.migrate("main_0002", without_repository=True),
            )
            self._answer(f"{len(report.steps)} steps from {report.origin} to {report.version}")
            after = await backend.queries.get_bands_and_parents_structure(all_users=True)
            _require(after == before, "the bands are not the same as before the migration")
            self._answer(f"the backend stays open, and lists the same {len(after):,} bands")


@contextlib.asynccontextmanager
async def _connected(profile: Profile) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the demo's own. Errors of the driver are raised as :class:`AiidaDbError`."""
    connection = await connect(profile)
    try:
        yield connection
    except Exception as error:
        if (ours := translate(error)) is not None:
            raise ours from error
        raise
    finally:
        await connection.close()


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AiidaDbError(f"{otherwise}: this is a bug, please report it")


async def _all(calls: Iterable[Awaitable[object]]) -> None:
    await asyncio.gather(*calls)


def _some(parents: Mapping[int, int], most: int = 3) -> str:
    return ", ".join(f"{start}: {parent}" for start, parent in list(parents.items())[:most])


async def _search_breadth_first(backend: Backend, starts: Iterable[int]) -> dict[int, int]:
    """Closest structures the plain way: all links in memory, one search after the other."""
    inputs: dict[int, list[int]] = {}
    for row in await backend.queries.fetch(
        Query.from_(links).select(links.output_id, links.input_id)
    ):
        inputs.setdefault(row["output_id"], []).append(row["input_id"])
    found = await backend.queries.fetch(
        Query.from_(nodes).select(nodes.id).where(nodes.node_type == STRUCTURE)
    )
    structures = {row["id"] for row in found}
    closest = {}
    for start in starts:
        seen, level = {start}, [start]
        while level:
            level = sorted({up for node in level for up in inputs.get(node, ())} - seen)
            seen.update(level)
            if hits := [node for node in level if node in structures]:
                closest[start] = max(hits)
                break
    return closest
