"""Closest parents of every node of a graph in one call, beside the plain closure of all starts.

Graphs in which much lies above many: a chain, a ladder of diamonds, double steps, a cycle, and one
component of ``--nodes`` nodes, also with a cycle through half of it. Asked for what is nowhere, and
for what is at the far end alone. The closure gives no distance and stops nowhere; it is run by
asyncpg itself, in the same process and in turn. The times are those of the processor, client and
server together: on a busy machine the time that passes is no measure of how work grows.
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
from common import (
    STRUCTURE,
    Report,
    Server,
    measure,
    parser,
    processor_time,
    profile_of,
    run,
    server_of,
)
from shapes import chain, cycle, double_steps, ladder, write

import aiidadb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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


async def longest_hold(call: Awaitable[object]) -> float:
    """How long the event loop is held at most during a call, in seconds of its thread.

    What the machine does elsewhere meanwhile does not count.
    """
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        await call
        await asyncio.sleep(0.002)  # the last step counts too
    finally:
        watcher.cancel()
    return longest


async def temporary_bytes(connection: asyncpg.Connection) -> int:
    """What the server has written into temporary files for this database until now."""
    await asyncio.sleep(1.5)  # it reports its counters once per second
    return int(
        await connection.fetchval(
            "select temp_bytes from pg_stat_database where datname = current_database()"
        )
    )


async def small_shapes(report: Report, dsn: str, repeat: int) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
    closure = await connection.prepare(CLOSURE)
    async with aiidadb.open_backend(profile_of(dsn), max_size=1) as backend:
        clock = partial(processor_time, connection.get_server_pid(), await server_of(backend))
        for shape, (make, size, unit) in SHAPES.items():
            for part in (size, 2 * size):
                last = (await write(connection, [make(part)]))[0]
                starts = list(range(1, last + 1))
                ask = partial(backend.queries.get_closest_parents, starts)
                group = f"{shape}, {part:,} {unit}"
                names = ("plain closure", "no match", "a match at the far end")
                seconds = await measure(
                    {
                        names[0]: partial(closure.fetchval, starts),
                        names[1]: partial(ask, node_type=STRUCTURE),
                        names[2]: partial(ask, id=1),
                    },
                    repeat=repeat,
                    warmup=2,
                    clock=clock,
                )
                report.add(group, seconds)
                for name in names[1:]:
                    ratio = statistics.median(
                        mine / floor
                        for mine, floor in zip(seconds[name], seconds[names[0]], strict=True)
                    )
                    report.goal(f"{group}: {name} ÷ closure", ratio, "<=", 3)
                    if part > size:
                        before = f"{shape}, {size:,} {unit}"
                        double = report.growth(group, name, name, small_group=before)
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
    async with aiidadb.open_backend(profile_of(dsn), max_size=1) as backend:
        ask = partial(backend.queries.get_closest_parents, starts)
        clock = partial(processor_time, connection.get_server_pid(), await server_of(backend))
        seconds = await measure(
            {
                "plain closure": partial(connection.fetchval, CLOSURE, starts),
                "no match": partial(ask, node_type=STRUCTURE),
                "a match at the far end": partial(ask, id=1),
            },
            repeat=repeat,
            warmup=0,
            clock=clock,
        )
        report.add(group, seconds)
        for name in ("no match", "a match at the far end"):
            ratio = report.median(group, name) / report.median(group, "plain closure")
            report.goal(f"{group}: {name} ÷ closure", ratio, "<=", 3)
        calls = (
            ("closest parents, no match", partial(ask, node_type=STRUCTURE)),
            ("closest parents, a match at the far end", partial(ask, id=1)),
            ("all parents", partial(backend.queries.get_all_parents, starts)),
            ("nodes to delete", partial(backend.get_nodes_to_delete, starts)),
        )
        for name, call in () if with_cycle else calls:
            held = 1000 * await longest_hold(call())
            report.goal(f"{group}, {name}: the event loop is held, ms", held, "<=", 50)
        before = await temporary_bytes(connection)
        await ask(id=1)
        written = await temporary_bytes(connection) - before
        report.goal(f"{group}: temporary files, bytes per node", written / size, "<=", 100)
        before = await temporary_bytes(connection)
        await backend.queries.get_closest_parents([size, size - 1], id=1)
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
        starts = list(range(1, arguments.nodes + 1))
        before = _forget_peak_memory()
        await backend.queries.get_closest_parents(starts, node_type=STRUCTURE)
        print(_peak_memory() - before)


def _forget_peak_memory() -> int:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_memory()


def _peak_memory() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def main(arguments: argparse.Namespace, server: Server) -> None:
    report = Report(
        "many_starts",
        "closest parents of every node at once",
        {"repeat": arguments.repeat, "nodes": arguments.nodes},
    )
    async with server.empty() as dsn:
        await small_shapes(report, dsn, arguments.repeat)
        for with_cycle in (False, True):
            await large_component(report, dsn, arguments.nodes, 3, with_cycle=with_cycle)
        await report.finish(dsn)


if __name__ == "__main__":
    options = parser(__doc__ or "", nodes=1_500_000)
    options.add_argument("--memory-of-one-call", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    run(print_memory_of_one_call if given.memory_of_one_call else main, given)
