"""Closest parents of every node of a graph at once, beside the plain closure of the same starts.

Graphs in which much lies above many: a chain, a ladder of diamonds, double steps, a cycle, and one
component of ``--nodes`` nodes, also with a cycle through half of it. Asked for what is nowhere, and
for what is at the far end alone. The closure tells no distance and stops nowhere; it is run by
asyncpg itself, in the same process and in turn.

Then the two ways to the answer beside each other: a match every so many nodes of a chain, the
further apart the longer the walk from each start. The plot shows where they cross.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
from common import STRUCTURE, Report, Server, measure, parser, profile_of, run
from shapes import chain, cycle, double_steps, ladder, write

import aiidadb
from aiidadb.criteria.node_criteria import bind_criteria
from aiidadb.criteria.tables import nodes
from aiidadb.queries.parent_search import ParentSearch

if TYPE_CHECKING:
    from collections.abc import Callable

    from shapes import Links

CLOSURE: Final = """
    with recursive r (node) as (
        select unnest($1::int[])
        union
        select l.input_id
        from r
        cross join lateral (
            select input_id from db_dblink where output_id = r.node offset 0
        ) as l
    )
    select count(*) from r
"""

# A shape, its size in units, and the unit: of 20,000 nodes or thereabouts.
SHAPES: Final[dict[str, tuple[Callable[[int], Links], int, str]]] = {
    "chain": (chain, 20_000, "links"),
    "ladder": (ladder, 7_000, "diamonds"),
    "double steps": (double_steps, 20_000, "nodes"),
    "cycle": (cycle, 20_000, "nodes"),
}


def component(size: int, *, with_cycle: bool = False) -> Links:
    """Each node comes from one or two of the sixty before it.

    Args:
        size: How many nodes.
        with_cycle: Whether the middle one returns the first.
    """
    chosen = random.Random(0)
    links = [
        (chosen.randrange(max(1, node - 60), node), node)
        for node in range(2, size + 1)
        for _ in range(chosen.randint(1, 2))
    ]
    return [*links, (size // 2, 1)] if with_cycle else links


class Asker:
    """Asks for the closest parents of all nodes, and looks at the event loop meanwhile."""

    def __init__(self, backend: aiidadb.Backend, starts: list[int]) -> None:
        self._backend = backend
        self._starts = starts
        self.longest_hold = 0.0

    async def ask(self, **lookups: object) -> dict[int, int]:
        """Ask for parents that have these columns."""
        watcher = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        try:
            return await self._backend.queries.get_closest_parents(self._starts, **lookups)
        finally:
            watcher.cancel()

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest_hold = max(self.longest_hold, time.perf_counter() - before - 0.001)


async def temporary_bytes(connection: asyncpg.Connection) -> int:
    """What the server has written into temporary files for this database until now."""
    await asyncio.sleep(1.5)  # it tells its counters once a second
    return int(
        await connection.fetchval(
            "select temp_bytes from pg_stat_database where datname = current_database()"
        )
    )


async def small_shapes(report: Report, dsn: str, repeat: int) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
    closure = await connection.prepare(CLOSURE)
    async with aiidadb.open_backend(profile_of(dsn)) as backend:
        for shape, (make, size, unit) in SHAPES.items():
            for part in (size, 2 * size):
                last = (await write(connection, [make(part)]))[0]
                starts = list(range(1, last + 1))
                asker = Asker(backend, starts)
                group = f"{shape}, {part:,} {unit}"
                names = ("plain closure", "no match", "a match at the far end")
                seconds = await measure(
                    {
                        names[0]: partial(closure.fetchval, starts),
                        names[1]: partial(asker.ask, node_type=STRUCTURE),
                        names[2]: partial(asker.ask, id=1),
                    },
                    repeat=repeat,
                    warmup=2,
                )
                report.add(group, seconds)
                for name in names[1:]:
                    ratio = statistics.median(
                        mine / floor
                        for mine, floor in zip(seconds[name], seconds[names[0]], strict=True)
                    )
                    report.goal(f"{group}: {name} ÷ closure", ratio, "<=", 3)
                    if part > size:
                        small = report.median(f"{shape}, {size:,} {unit}", name)
                        double = report.median(group, name) / small
                        report.goal(f"{shape}, {name}: twice the size", double, "<=", 2.3)
    await connection.close()


async def large_component(
    report: Report, dsn: str, size: int, repeat: int, *, with_cycle: bool
) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
    links = component(size, with_cycle=with_cycle)
    number = len(links)
    await write(connection, [links])
    del links
    starts = list(range(1, size + 1))
    group = f"one component of {size:,} nodes" + (", a cycle through half" if with_cycle else "")
    async with aiidadb.open_backend(profile_of(dsn)) as backend:
        asker = Asker(backend, starts)
        seconds = await measure(
            {
                "plain closure": partial(connection.fetchval, CLOSURE, starts),
                "no match": partial(asker.ask, node_type=STRUCTURE),
                "a match at the far end": partial(asker.ask, id=1),
            },
            repeat=repeat,
            warmup=0,
        )
        report.add(group, seconds)
        for name in ("no match", "a match at the far end"):
            ratio = report.median(group, name) / report.median(group, "plain closure")
            report.goal(f"{group}: {name} ÷ closure", ratio, "<=", 3)
        report.note(
            f"{group}: the event loop was held for {asker.longest_hold * 1000:.0f} ms at most"
        )
        before = await temporary_bytes(connection)
        await asker.ask(id=1)
        written = await temporary_bytes(connection) - before
        report.goal(f"{group}: temporary files, bytes per node", written / size, "<=", 100)
        before = await temporary_bytes(connection)
        await Asker(backend, [size, size - 1]).ask(id=1)
        written = await temporary_bytes(connection) - before
        report.goal(
            f"{group}, two starts: temporary files, bytes per node", written / size, "<=", 100
        )
    await connection.close()
    # In a process of its own, which has held nothing else before.
    command = [sys.executable, __file__, "--dsn", dsn, "--nodes", str(size), "--memory-of-one-call"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    report.goal(f"{group}: client memory, bytes per link", int(printed) / number, "<=", 100)


async def print_memory_of_one_call(arguments: argparse.Namespace, server: Server) -> None:
    """Print by how many bytes the memory of this process grows at most; there is no match."""
    async with aiidadb.open_backend(profile_of(server.dsn)) as backend:
        await backend.queries.get_closest_parents([1, 2], node_type=STRUCTURE)
        asker = Asker(backend, list(range(1, arguments.nodes + 1)))
        before = _forget_peak_memory()
        await asker.ask(node_type=STRUCTURE)
        print(_peak_memory() - before)


def _forget_peak_memory() -> int:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_memory()


def _peak_memory() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def crossing(report: Report, dsn: str, repeat: int) -> None:
    """A chain with a match every so many nodes: each way by itself, and what is chosen."""
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
    size = 20_000
    last = (await write(connection, [chain(size)]))[0]
    starts = list(range(1, last + 1))
    async with aiidadb.open_backend(profile_of(dsn)) as backend:
        session = backend._session  # noqa: SLF001 - each way by itself is no public name
        for apart in (2, 4, 8, 16, 32, 64, 128):
            matches = tuple(range(1, last + 1, apart))
            await connection.execute("update db_dbnode set label = '' where label <> ''")
            await connection.execute(
                "update db_dbnode set label = 'match' where id = any($1::int[])", matches
            )
            await connection.execute("vacuum analyze db_dbnode")
            search = ParentSearch(
                session,
                None,
                partial(bind_criteria, [nodes.label == "match"], version=session.require_version()),
            )
            report.add(
                f"a match every {apart} nodes",
                await measure(
                    {
                        "walks from each start": partial(search.walk, starts, None),
                        "closure of all starts": partial(search.through_closure, starts),
                        "as chosen": partial(Asker(backend, starts).ask, label="match"),
                    },
                    repeat=repeat,
                ),
            )
    await connection.close()


async def main(arguments: argparse.Namespace, server: Server) -> None:
    report = Report(
        "many_starts",
        "closest parents of every node at once",
        {"repeat": arguments.repeat, "nodes": arguments.nodes},
    )
    async with server.empty() as dsn:
        await small_shapes(report, dsn, arguments.repeat)
        await crossing(report, dsn, 3)
        for with_cycle in (False, True):
            await large_component(report, dsn, arguments.nodes, 3, with_cycle=with_cycle)
        await report.finish(dsn)


if __name__ == "__main__":
    options = parser(__doc__ or "", nodes=1_500_000)
    options.add_argument("--memory-of-one-call", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    run(print_memory_of_one_call if given.memory_of_one_call else main, given)
