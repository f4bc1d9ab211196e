"""All bands of a large campaign as a list, one after the other, and the first ten of them.

Reports when the first row is there, when all are, and by how much client and server grow.
Each run is a process of its own with a connection of its own, so that peaks are of this run; how
memory is reported is said in ``all_bands.py``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Final

from all_bands import private_memory
from common import Report, Server, parser, profile_of, run, server_of

import aiidadb

if TYPE_CHECKING:
    import argparse

_WATCH_EVERY: Final = 0.005  # seconds
_WAYS: Final = ("as a list", "one after the other", "the first ten")


async def work(dsn: str, way: str) -> dict[str, float]:
    """One run: seconds to the first row and to the last, and growth in bytes at the most."""
    async with aiidadb.open_backend(profile_of(dsn), max_size=1) as backend:
        pids = {"client": "self", "server": str(await server_of(backend))}
        listing = backend.queries.get_bands_and_parents_structure(
            all_users=True, limit=10 if way == "the first ten" else None
        )
        # What the first call of a connection costs anyway is not of this one.
        await backend.queries.get_bands_and_parents_structure(all_users=True, limit=1)
        before = {who: private_memory(pid) for who, pid in pids.items()}
        peaks = dict(before)

        async def watch() -> None:
            while True:
                for who, pid in pids.items():
                    peaks[who] = max(peaks[who], private_memory(pid))
                await asyncio.sleep(_WATCH_EVERY)

        watcher = asyncio.create_task(watch())
        started = time.perf_counter()
        number, first = 0, 0.0
        if way == "one after the other":
            async for _ in listing:
                number += 1
                first = first or time.perf_counter() - started
        else:
            number = len(await listing)
        seconds = time.perf_counter() - started
        watcher.cancel()
    grown = {who: float(peaks[who] - before[who]) for who in pids}
    return {"seconds": seconds, "first": first or seconds, "rows": number} | grown


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    seconds: dict[str, list[float]] = {}
    first: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    rows = 0
    for _ in range(arguments.repeat):
        for way in _WAYS:
            process = await asyncio.create_subprocess_exec(
                sys.executable, __file__, "--worker", dsn, way, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            told = json.loads(output)
            seconds.setdefault(way, []).append(told["seconds"])
            first.setdefault(way, []).append(told["first"])
            for who in ("server", "client"):
                memory.setdefault(f"{who}, {way}", []).append(told[who])
            rows = max(rows, int(told["rows"]))
    report = Report(
        f"bands_stream_{arguments.nodes}",
        f"listing of all {rows:,} bands, {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "bands": rows},
    )
    report.add("all rows", seconds)
    report.add("first row", first)
    report.add("peak memory, beyond what they had", memory, unit="B")
    await report.finish(dsn)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(asyncio.run(work(*sys.argv[2:]))))
        sys.exit()
    run(main, parser(__doc__ or "", nodes=1_500_000, repeat=3).parse_args())
