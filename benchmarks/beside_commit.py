"""Closest structures of many bands, as an earlier commit finds them and as this checkout does.

Each runs in a process of its own, which answers when it is asked to; one is asked, then the other,
and the next time in the other order. Beside the time that passes this reports the processor's time
of client and server together, which a busy machine hardly changes. Needs the history of the
checkout, and a server on this machine, which is Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
from common import (
    STRUCTURE,
    Report,
    Server,
    bands_of,
    parser,
    processor_time,
    profile_of,
    run,
    server_of,
)

import aiidadb

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT: Final = Path(__file__).parent.parent
NAMES: Final = ("earlier commit", "aiidadb")
KINDS: Final = ("time", "processor time")


async def answer(dsn: str, number: int) -> None:
    """Be one of the two processes: at each line of input, ask and print the two times, in s."""
    assert Path(aiidadb.__file__).is_relative_to(CHECKOUT)
    connection = await asyncpg.connect(dsn)
    starts = await bands_of(connection, number)
    await connection.close()
    async with aiidadb.open_backend(profile_of(dsn), max_size=1) as backend:
        server = await server_of(backend)
        while await asyncio.to_thread(sys.stdin.readline):
            began, used = time.perf_counter(), processor_time(server)
            await backend.queries.get_closest_parents(starts, node_type=STRUCTURE)
            print(time.perf_counter() - began, processor_time(server) - used, flush=True)


@contextlib.contextmanager
def files_of(commit: str) -> Iterator[Path]:
    """The package as it was at a commit, and the benchmarks as they are."""
    with tempfile.TemporaryDirectory() as directory:
        content = subprocess.run(
            ["git", "-C", str(CHECKOUT), "archive", commit, "aiidadb", "sql"],
            check=True,
            capture_output=True,
        ).stdout
        subprocess.run(["tar", "-x", "-C", directory], input=content, check=True)
        shutil.copytree(
            CHECKOUT / "benchmarks",
            Path(directory) / "benchmarks",
            ignore=shutil.ignore_patterns("results"),
        )
        yield Path(directory)


@contextlib.contextmanager
def process_of(checkout: Path, dsn: str, number: int) -> Iterator[subprocess.Popen[str]]:
    """A process that answers with the package of a checkout."""
    script = checkout / "benchmarks" / Path(__file__).name
    with subprocess.Popen(
        [sys.executable, str(script), "--dsn", dsn, "--starts", str(number), "--answer"],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def ask(process: subprocess.Popen[str]) -> list[float]:
    """The two times of one answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return [float(part) for part in process.stdout.readline().split()]


async def main(arguments: argparse.Namespace, server: Server) -> None:
    if arguments.answer:
        await answer(server.dsn, arguments.starts)
        return
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    times: dict[str, dict[str, list[float]]] = {
        kind: {name: [] for name in NAMES} for kind in KINDS
    }
    with (
        files_of(arguments.commit) as earlier,
        process_of(earlier, dsn, arguments.starts) as old,
        process_of(CHECKOUT, dsn, arguments.starts) as new,
    ):
        pair = list(zip(NAMES, (old, new), strict=True))
        for turn in range(arguments.repeat + 2):
            for name, process in pair if turn % 2 else pair[::-1]:
                for kind, took in zip(KINDS, ask(process), strict=True):
                    if turn >= 2:
                        times[kind][name].append(took)
    report = Report(
        f"beside_commit_{arguments.nodes}",
        f"closest structure of {arguments.starts:,} bands, {arguments.nodes:,} nodes, "
        f"beside commit {arguments.commit}",
        {"nodes": arguments.nodes, "starts": arguments.starts, "commit": arguments.commit},
    )
    for kind, seconds in times.items():
        report.add(kind, seconds)
        ratios = [mine / theirs for theirs, mine in zip(*seconds.values(), strict=True)]
        report.goal(f"{kind}: now ÷ then, by pairs", statistics.median(ratios), "<=", 1.1)
    report.note(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")
    await report.finish(dsn)


if __name__ == "__main__":
    options = parser(__doc__ or "", nodes=1_500_000, repeat=15)
    options.add_argument("--starts", type=int, default=8_000, help="bands that are asked for")
    options.add_argument("--commit", default="2a75e19", help="the earlier commit")
    options.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    run(main, options.parse_args())
