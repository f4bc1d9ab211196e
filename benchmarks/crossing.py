"""The two ways to closest parents beside each other: walks from each start, or one closure of all.

The further the matches, the longer each walk; the further the starts from each other, the less they
share, which the closure of all visits once. ``results/crossing.png`` shows where the ways cross,
and which is chosen. The times are those of the processor, client and server together.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
from common import (
    RESULTS,
    Report,
    Server,
    console,
    measure,
    parser,
    processor_time,
    profile_of,
    run,
    server_of,
)
from shapes import chain, write

import aiidadb
from aiidadb.criteria.node_criteria import bind_criteria
from aiidadb.criteria.tables import nodes
from aiidadb.messages import plural
from aiidadb.queries.parent_search import ParentSearch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

WAYS: Final = ("walks from each start", "closure of all starts", "as chosen")
STARTS: Final = 3_000
APART: Final = (1, 2, 4, 8, 16, 32, 64)
NEAR: Final = 16
"""Nodes from one match to the next, where the starts move apart."""


def matches_apart(number: int) -> str:
    return f"a match every {plural(number, 'node')}"


def starts_apart(number: int) -> str:
    return f"a start every {plural(number, 'node')}"


class Chain:
    """A chain with a match every so many nodes, and a backend on its database."""

    def __init__(self, report: Report, connection: asyncpg.Connection, backend: aiidadb.Backend):
        self._report = report
        self._connection = connection
        self._backend = backend

    async def put_matches(self, apart: int) -> None:
        """Let every so many nodes be a match, and no others."""
        await self._connection.execute(
            """
            update db_dbnode
            set label = case when id % $1::int = 0 then 'match' else '' end
            where (label = 'match') <> (id % $1::int = 0)
            """,
            apart,
        )
        await self._connection.execute("vacuum analyze db_dbnode")

    async def compare(self, group: str, starts: Sequence[int], repeat: int) -> None:
        """Each way by itself, and what is chosen."""
        clock = partial(processor_time, await server_of(self._backend))
        session = self._backend._session  # noqa: SLF001 - each way by itself has no public name
        criteria = partial(
            bind_criteria, [nodes.label == "match"], version=session.require_version()
        )
        search = ParentSearch(session, None, criteria)
        pks = list(starts)
        seconds = await measure(
            {
                WAYS[0]: partial(search.walk, pks, None),
                WAYS[1]: partial(search.through_closure, pks),
                WAYS[2]: partial(self._backend.queries.get_closest_parents, pks, label="match"),
            },
            repeat=repeat,
            clock=clock,
        )
        self._report.add(group, seconds)


def draw(report: Report, path: Path) -> None:
    """The ways over the distance of the matches, and over that of the starts."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, both = plt.subplots(
        1, 2, figsize=(12, 5), dpi=110, sharey=True, facecolor="white", layout="constrained"
    )
    titles = (f"{STARTS:,} neighbours asked", f"{STARTS:,} asked, a match every {NEAR} nodes")
    labels = ("nodes from one match to the next", "nodes from one start to the next")
    for axes, title, label, group in zip(
        both, titles, labels, (matches_apart, starts_apart), strict=True
    ):
        for way, style in zip(WAYS, ("o-", "s-", "x--"), strict=True):
            axes.plot(APART, [report.median(group(one), way) for one in APART], style, label=way)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(APART, [str(one) for one in APART])
        axes.set_xlabel(label)
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    both[0].set_ylabel("seconds of the processor")
    both[0].legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)
    console.print(f"written: {path}")


async def main(arguments: argparse.Namespace, server: Server) -> None:
    report = Report(
        "crossing",
        "two ways to closest parents, on a chain",
        {"repeat": arguments.repeat, "starts": STARTS},
    )
    async with server.empty() as dsn:
        connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
        (last,) = await write(connection, [chain(STARTS * max(APART))])
        async with aiidadb.open_backend(profile_of(dsn), max_size=1) as backend:
            on_chain = Chain(report, connection, backend)
            for apart in APART:
                await on_chain.put_matches(apart)
                neighbours = range(last - STARTS, last)
                await on_chain.compare(matches_apart(apart), neighbours, arguments.repeat)
            await on_chain.put_matches(NEAR)
            for apart in APART:
                # Not all of them as far below their match.
                starts = [
                    last - apart * number - (number * 7 % min(NEAR, apart))
                    for number in range(STARTS - 1)
                ]
                await on_chain.compare(starts_apart(apart), sorted(starts), arguments.repeat)
        await connection.close()
        draw(report, RESULTS / "crossing.png")
        await report.finish(dsn)


if __name__ == "__main__":
    run(main, parser(__doc__ or "").parse_args())
