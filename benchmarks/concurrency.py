"""Many concurrent calls on one event loop, over a pool of ten: aiidadb beside bare asyncpg.

Every second call asks for a setting, the others for the closest structure of a few bands, for the
bands of a group, and for what a deletion would take along. Bare asyncpg runs the very statements
that aiidadb sent, with the same arguments, over a pool of the same size. A watch wakes every
millisecond and notes by how much it was late: that is how long the loop was held.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import asyncpg
from common import STRUCTURE, Report, Server, bands_of, parser, profile_of, run

import aiidadb

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    connection = await asyncpg.connect(dsn)
    try:
        bands = await bands_of(connection, min(1_000, arguments.nodes // 40))
    finally:
        await connection.close()
    report = Report(
        f"concurrency_{arguments.calls}",
        f"{arguments.calls:,} calls at once over a pool of {arguments.pool}",
        {"nodes": arguments.nodes, "calls": arguments.calls, "pool": arguments.pool},
    )
    seconds: dict[str, list[float]] = {"aiidadb": [], "bare asyncpg": []}
    late: list[float] = []
    async with (
        aiidadb.open_backend(
            profile_of(dsn), max_size=arguments.pool, min_size=arguments.pool
        ) as backend,
        asyncpg.create_pool(
            dsn, min_size=arguments.pool, max_size=arguments.pool, server_settings={"jit": "off"}
        ) as pool,
    ):
        await backend.settings.set("benchmark", {"value": 1})
        calls = mixed_calls(backend, bands, arguments.calls)
        sent = await recorded(calls)
        bare = [lambda text=text, given=given: pool.fetch(text, *given) for text, given in sent]
        for turn in range(arguments.repeat + 1):
            ours, held = await all_at_once(calls)
            theirs, _ = await all_at_once(bare)
            if turn:  # the first is the warm-up
                seconds["aiidadb"].append(ours)
                seconds["bare asyncpg"].append(theirs)
                late += held
        await backend.settings.delete("benchmark")
    report.add("all calls", seconds)
    late.sort()
    report.add(
        "the loop was held",
        {
            "99th percentile": [late[int(0.99 * len(late))] * 1000],
            "longest": [late[-1] * 1000],
        },
        unit="ms",
    )
    report.goal("99th percentile, ms", late[int(0.99 * len(late))] * 1000, "<=", 25.0)
    report.goal(
        "throughput / bare asyncpg",
        report.median("all calls", "bare asyncpg") / report.median("all calls", "aiidadb"),
        ">=",
        0.8,
    )
    report.note(f"None of {arguments.calls * (arguments.repeat + 1):,} calls failed.")
    await report.finish(dsn)


def mixed_calls(backend: aiidadb.Backend, bands: list[int], number: int) -> list:
    """Calls of four kinds; none changes anything, so that every run is like the first."""

    def call(at: int) -> Callable[[], Awaitable[object]]:
        some = [bands[(at + offset) % len(bands)] for offset in range(0, 25, 5)]
        if at % 2:
            return lambda: backend.settings.get("benchmark")
        if at % 4:
            return lambda: backend.queries.get_closest_parents(some, node_type=STRUCTURE)
        if at % 8:
            return lambda: backend.get_nodes_to_delete(some[0])
        return lambda: backend.queries.get_all_parents(some[0])

    return [call(at) for at in range(number)]


async def recorded(calls: list) -> list[tuple[str, tuple[object, ...]]]:
    """Run the calls once, one by one, and note what they send."""
    sent: list[tuple[str, tuple[object, ...]]] = []
    original = asyncpg.Connection.fetch

    async def fetch(self, text, *arguments, **options):
        sent.append((text, arguments))
        return await original(self, text, *arguments, **options)

    asyncpg.Connection.fetch = fetch
    try:
        for call in calls:
            await call()
    finally:
        asyncpg.Connection.fetch = original
    return sent


async def all_at_once(calls: list) -> tuple[float, list[float]]:
    """Start all calls in one go; gives the seconds, and how late the watch was each time."""
    async with watch() as late:
        begin = time.perf_counter()
        await asyncio.gather(*(call() for call in calls))
        seconds = time.perf_counter() - begin
    return seconds, late


@contextlib.asynccontextmanager
async def watch(pause: float = 0.001) -> AsyncIterator[list[float]]:
    """Note how late a task comes that wants to run every millisecond."""
    late: list[float] = []

    async def look() -> None:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(pause)
            late.append(time.perf_counter() - begin - pause)

    task = asyncio.create_task(look())
    try:
        yield late
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0], repeat=5)
    options.add_argument("--calls", type=int, default=2_000, help="calls at once")
    options.add_argument("--pool", type=int, default=10, help="connections in the pool")
    run(main, options.parse_args())
