"""Closest structures of all bands of a large campaign: time, and memory of client and server.

Each run is a process of its own with a connection of its own, so that peaks are of this run. The
server's memory is that of the one process that serves the connection, without the pages of the
shared buffers; it is read from ``/proc``, and reported where the server runs on this machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from common import STRUCTURE, Report, Server, bands_of, parser, profile_of, run

import aiidadb

if TYPE_CHECKING:
    import argparse

_WATCH_EVERY = 0.005  # seconds


def private_memory(pid: int | str) -> int:
    """Bytes that a process shares with no other; 0 where the system does not report that."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


async def work(dsn: str, size: int) -> dict[str, float]:
    """One run: seconds, and by how many bytes client and server grew at the most."""
    connection = await asyncpg.connect(dsn)
    starts = await bands_of(connection)
    await connection.close()
    profile = profile_of(dsn)
    async with (
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, max_size=1) as backend,
    ):
        pool = await registry.get_pool(profile, max_size=1)
        pids = {"client": "self", "server": await pool.fetchval("select pg_backend_pid()")}
        # What the first call of a connection costs anyway is not of this one.
        await backend.queries.get_closest_parents(starts[0], node_type=STRUCTURE)
        before = {who: private_memory(pid) for who, pid in pids.items()}
        peaks = dict(before)

        async def watch() -> None:
            while True:
                for who, pid in pids.items():
                    peaks[who] = max(peaks[who], private_memory(pid))
                await asyncio.sleep(_WATCH_EVERY)

        watcher = asyncio.create_task(watch())
        started = time.perf_counter()
        parents = await backend.queries.get_closest_parents(
            starts, node_type=STRUCTURE, chunk_size=size
        )
        seconds = time.perf_counter() - started
        watcher.cancel()
    grown = {who: float(peaks[who] - before[who]) for who in pids}
    return {"seconds": seconds, "parents": len(parents)} | grown


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    connection = await asyncpg.connect(dsn)
    number = len(await bands_of(connection))
    await connection.close()
    seconds: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    told: dict[str, float] = {}
    for _ in range(arguments.repeat):
        for size in sorted({min(size, number) for size in arguments.batches}):
            process = await asyncio.create_subprocess_exec(
                sys.executable, __file__, "--worker", dsn, str(size), stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            told = json.loads(output)
            name = f"batches of {size:,}" if size < number else "one batch"
            seconds.setdefault(name, []).append(told["seconds"])
            for who in ("server", "client"):
                memory.setdefault(f"{who}, {name}", []).append(told[who])
    report = Report(
        f"all_bands_{arguments.nodes}",
        f"closest structures of all {number:,} bands, {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "starts": number},
    )
    report.add("time", seconds)
    report.add("peak memory, beyond what they had", memory, unit="B")
    report.note(f"{int(told['parents']):,} of the {number:,} bands have a structure")
    report.note("10,000 is the size of batches where nothing else is asked for")
    await report.finish(dsn)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(asyncio.run(work(sys.argv[2], int(sys.argv[3])))))
        sys.exit()
    options = parser(__doc__ or "", nodes=1_500_000, repeat=3)
    options.add_argument(
        "--batches", type=int, nargs="+", default=[1_000, 10_000, 10**9], help="sizes of batches"
    )
    run(main, options.parse_args())
