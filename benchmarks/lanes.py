"""Short calls beside long ones: what the limit on long calls in a pool is for.

Four clients ask for a setting and for one node, again and again: at first alone, then beside twice
as many clients as the pool has connections, who ask long questions in a loop, and then beside the
same in a pool that lets long calls have every connection. The long questions are those of
``LONG``: creation statistics, the listing of all bands, what a deletion would take along, and the
closest parents of all bands, asked for what is nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Final

import asyncpg
from common import Report, Server, bands_of, parser, profile_of, run
from pypika import Query

import aiidadb
from aiidadb import nodes

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TypeAlias

    Call: TypeAlias = Callable[[], Awaitable[object]]

CLIENTS: Final = 4
MOST: Final = 5.0

QUIET: Final = "alone"
LIMITED: Final = "beside long calls"
FREE: Final = "beside long calls, max_long = max_size"


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    connection = await asyncpg.connect(dsn)
    try:
        bands = await bands_of(connection)
    finally:
        await connection.close()
    long_clients = 2 * arguments.pool
    report = Report(
        f"lanes_{arguments.nodes}",
        f"short calls beside {long_clients} clients with long ones, a pool of {arguments.pool}",
        {
            "nodes": arguments.nodes,
            "pool": arguments.pool,
            "short clients": CLIENTS,
            "long clients": long_clients,
            "seconds": arguments.seconds,
            "repeat": arguments.repeat,
        },
    )
    seen: dict[str, list[list[float]]] = {QUIET: [], LIMITED: [], FREE: []}
    finished: dict[str, int] = dict.fromkeys((LIMITED, FREE), 0)
    for turn in range(arguments.repeat + 1):
        # The first turn, a short one, is the warm-up.
        seconds = arguments.seconds if turn else min(3.0, arguments.seconds)
        for name, max_long in ((LIMITED, None), (FREE, arguments.pool)):
            async with aiidadb.open_backend(
                profile_of(dsn), max_size=arguments.pool, max_long=max_long
            ) as backend:
                await backend.settings.set("benchmark", {"value": 1})
                short, long = short_calls(backend, bands), long_calls(backend, bands)
                alone = await in_a_loop(short, seconds) if name == LIMITED else []
                async with repeating(long, long_clients) as done:
                    beside = await in_a_loop(short, seconds)
                if turn:
                    if alone:
                        seen[QUIET].append(alone)
                    seen[name].append(beside)
                    finished[name] += done[0]
                await backend.settings.delete("benchmark")
    for what, part in (("95th percentile", 0.95), ("median", 0.5)):
        report.add(
            f"a short call, {what}",
            {name: [percentile(run, part) for run in runs] for name, runs in seen.items()},
        )
    quiet, limited, free = (
        [percentile(run, 0.95) for run in seen[name]] for name in (QUIET, LIMITED, FREE)
    )
    report.goal(
        "95th percentile beside long calls / alone, the worst run",
        max(one / other for one, other in zip(limited, quiet, strict=True)),
        "<=",
        MOST,
    )
    worst = max(one / other for one, other in zip(free, quiet, strict=True))
    report.note(f"Without the limit the worst run was {worst:.1f} times as slow as alone.")
    for name, number in finished.items():
        in_all = arguments.repeat * arguments.seconds
        report.note(f"{name}: {number / in_all:.2f} long calls were finished per second.")
    await report.finish(dsn)


def short_calls(backend: aiidadb.Backend, bands: list[int]) -> list[Call]:
    """Both kinds; the node is another one each time."""
    pks = itertools.cycle(bands)

    def one_node() -> Awaitable[object]:
        query = Query.from_(nodes).select(nodes.uuid, nodes.label).where(nodes.id == next(pks))
        return backend.queries.fetch(query)

    return [lambda: backend.settings.get("benchmark"), one_node]


def long_calls(backend: aiidadb.Backend, bands: list[int]) -> list[Call]:
    ask = backend.queries
    return [
        ask.get_creation_statistics,
        lambda: ask.get_closest_parents(bands, node_type="data.core.nowhere.Nowhere."),
        lambda: ask.get_bands_and_parents_structure(all_users=True),
        lambda: backend.get_nodes_to_delete(bands),
    ]


async def in_a_loop(calls: list[Call], seconds: float) -> list[float]:
    """Four clients that make one call after the other; gives how long each call took."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        for call in itertools.cycle(calls):
            begin = time.perf_counter()
            if begin >= end:
                return
            await call()
            taken.append(time.perf_counter() - begin)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return taken


@contextlib.asynccontextmanager
async def repeating(calls: list[Call], clients: int) -> AsyncIterator[list[int]]:
    """So many clients that make one call after the other; gives how many were finished."""
    done = [0]

    async def client(first: int) -> None:
        for call in itertools.islice(itertools.cycle(calls), first, None):
            await call()
            done[0] += 1

    tasks = [asyncio.create_task(client(number)) for number in range(clients)]
    try:
        yield done
        for task in tasks:
            if task.done():
                task.result()  # none ends by itself but by an error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[int(part * len(values))]


if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0], repeat=3)
    options.add_argument("--pool", type=int, default=10, help="connections in the pool")
    options.add_argument("--seconds", type=float, default=30.0, help="for each part of a run")
    run(main, options.parse_args())
