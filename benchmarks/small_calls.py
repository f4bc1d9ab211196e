"""Small calls beside bare asyncpg: the client's CPU of each, and 2,000 of them concurrently.

Two calls: a setting, and the closest structure above one band structure. Bare asyncpg runs the very
statements that aiidadb sends, with the same arguments and the same ``command_timeout``, by
``pool.fetch``, from a pool whose ``reset`` sends nothing: neither of the two resets a connection on
which only such a statement ran.

- CPU: ``time.process_time`` of calls that are made one after the other. Both take turns in blocks;
  the figure is the median of the ratios of neighbouring blocks.
- At once: all calls begin together over a pool of ten. A watch wakes every millisecond and notes by
  how much it was late: that is how long the loop was held.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
from common import STRUCTURE, Report, Server, bands_of, parser, profile_of, run
from concurrency import all_at_once, recorded

import aiidadb
from aiidadb.connecting.opening.connection import COMMAND_TIMEOUT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    Call = Callable[[], Awaitable[object]]

_KEY = "benchmark"


@dataclass(frozen=True)
class Kind:
    """A kind of call: what it is, and the same calls by aiidadb and by bare asyncpg."""

    what: str
    ours: list[Call]
    bare: list[Call]


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    connection = await asyncpg.connect(dsn)
    try:
        bands = await bands_of(connection, min(1_000, arguments.nodes // 40))
    finally:
        await connection.close()
    report = Report(
        "small_calls",
        f"Small calls beside pool.fetch, and {arguments.calls:,} at once over {arguments.pool}",
        {"nodes": arguments.nodes, "calls": arguments.calls, "pool": arguments.pool},
    )
    size = {"min_size": arguments.pool, "max_size": arguments.pool}
    async with (
        aiidadb.open_backend(profile_of(dsn), **size) as backend,
        asyncpg.create_pool(
            dsn,
            **size,
            command_timeout=COMMAND_TIMEOUT,
            reset=_send_nothing,
            server_settings={"jit": "off"},
        ) as pool,
    ):
        await backend.settings.set(_KEY, {"value": 1})
        try:
            for kind in await kinds_of_calls(backend, pool, bands, arguments.calls):
                await _compare_cpu(report, kind, arguments.block)
                await _compare_at_once(report, kind, arguments.repeat)
        finally:
            await backend.settings.delete(_KEY)
    report.note("CPU: blocks of calls that are made one after the other, in turn.")
    await report.finish(dsn)


async def _send_nothing(connection: asyncpg.Connection) -> None:
    """What a pool does to a connection that is given back."""


async def kinds_of_calls(
    backend: aiidadb.Backend, pool: asyncpg.Pool, bands: list[int], number: int
) -> list[Kind]:
    """Each kind of call, so many of it."""

    def closest(pk: int) -> Call:
        return lambda: backend.queries.get_closest_parents(pk, node_type=STRUCTURE)

    calls = {
        "settings.get": [lambda: backend.settings.get(_KEY)] * number,
        "get_closest_parents of one pk": [closest(bands[at % len(bands)]) for at in range(number)],
    }
    return [
        Kind(what, ours, [_bare(pool, *sent) for sent in await recorded(ours)])
        for what, ours in calls.items()
    ]


def _bare(pool: asyncpg.Pool, text: str, given: tuple[object, ...]) -> Call:
    return lambda: pool.fetch(text, *given)


async def _compare_cpu(report: Report, kind: Kind, block: int) -> None:
    taken: dict[str, list[float]] = {"aiidadb": [], "bare asyncpg": []}
    for begin in range(0, len(kind.ours), block):
        some = slice(begin, begin + block)
        taken["aiidadb"].append(await _cpu_per_call(kind.ours[some]))
        taken["bare asyncpg"].append(await _cpu_per_call(kind.bare[some]))
    microseconds = {name: [1e6 * one for one in times] for name, times in taken.items()}
    report.add(f"{kind.what}: client CPU per call", microseconds, unit="µs")
    report.goal(f"{kind.what}: client CPU / pool.fetch", _ratio(taken), "<=", 1.3)


async def _cpu_per_call(calls: list[Call]) -> float:
    begin = time.process_time()
    for call in calls:
        await call()
    return (time.process_time() - begin) / len(calls)


async def _compare_at_once(report: Report, kind: Kind, repeat: int) -> None:
    calls = {"aiidadb": kind.ours, "bare asyncpg": kind.bare}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    longest: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeat + 1):
        # Each is the first in every other turn, so that nothing is always in the other's wake.
        for name in sorted(calls, reverse=bool(turn % 2)):
            gc.collect()
            taken, late = await all_at_once(calls[name])
            if turn:  # the first is the warm-up
                seconds[name].append(taken)
                longest[name].append(max(late))
    at_once = f"{kind.what}: {len(kind.ours):,} at once"
    report.add(at_once, seconds)
    report.add(f"{at_once}, longest hold of the loop", longest)
    report.goal(f"{at_once}: throughput / bare asyncpg", 1 / _ratio(seconds), ">=", 0.95)
    report.goal(f"{at_once}: longest hold / bare asyncpg", _ratio(longest), "<=", 2.0)


def _ratio(values: dict[str, list[float]]) -> float:
    """The median of ours by bare asyncpg's, each pair measured one right after the other."""
    pairs = zip(values["aiidadb"], values["bare asyncpg"], strict=True)
    return statistics.median(ours / bare for ours, bare in pairs)


if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0], repeat=9)
    options.add_argument("--calls", type=int, default=2_000, help="calls of each kind")
    options.add_argument("--block", type=int, default=100, help="calls between two changes of turn")
    options.add_argument("--pool", type=int, default=10, help="connections in the pool")
    run(main, options.parse_args())
