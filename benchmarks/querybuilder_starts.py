"""Walks of the query builder from all nodes of a type, beside aiida-core's.

From thousands of starts there are about as many ways as the database has nodes, or more. Without
``distinct`` each way is a row. Times are those of the processor, client and server together; no
question is split between several processes of the server, and all answers are compared first.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from common import (
    Report,
    Server,
    aiida_storage,
    measure,
    parser,
    processor_time,
    profile_of,
    run,
    server_of,
    server_of_aiida,
)

import aiidadb
from aiidadb.messages import plural
from tests.querybuilder.oracle import oracle

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_BANDS: Final = "data.core.array.bands.BandsData."
_STRUCTURES: Final = "data.core.structure.StructureData."
_OURS: Final = "aiidadb"
_THEIRS: Final = "aiida-core"


def questions(backend: aiidadb.Backend) -> dict[str, aiidadb.QueryBuilder]:
    """By name, what is asked."""

    def walk(start: str, end: str, keyword: str) -> aiidadb.QueryBuilder:
        query = backend.query().append(start, tag="start", project="id")
        return query.append(end, tag="end", project="id", **{keyword: "start"})

    up = partial(walk, _BANDS, _STRUCTURES, "with_descendants")
    down = partial(walk, _STRUCTURES, _BANDS, "with_ancestors")
    return {
        "structures above all bands, each way": up(),
        "structures above all bands, distinct": up().distinct(),
        "bands below all structures, each way": down(),
        "bands below all structures, distinct": down().distinct(),
    }


async def main(arguments: argparse.Namespace, server: Server) -> None:
    campaign = await server.campaign(arguments.nodes, arguments.seed)
    report = Report(
        f"querybuilder_starts_{arguments.nodes}",
        f"walks from all nodes of a type, {arguments.nodes:,} nodes: processor time",
        {"nodes": arguments.nodes, "seed": arguments.seed},
    )
    async with server.clone(campaign) as dsn:
        name = urlsplit(dsn).path[1:]
        await server.execute(f'alter database "{name}" set max_parallel_workers_per_gather = 0')
        async with (
            aiidadb.open_backend(profile_of(dsn), max_size=1) as backend,
            aiida_storage(dsn) as storage,
        ):
            servers = (await server_of(backend), server_of_aiida(storage))
            clock = partial(processor_time, *servers)
            for what, query in questions(backend).items():
                contestants: dict[str, Callable[[], object]] = {
                    _OURS: query.all,
                    _THEIRS: oracle(storage, query.as_dict()).all,
                }
                rows = Counter(map(tuple, await query.all()))
                assert rows == Counter(map(tuple, oracle(storage, query.as_dict()).all()))
                report.note(f"{what}: {plural(rows.total(), 'row')}")
                seconds = await measure(contestants, repeat=arguments.repeat, clock=clock)
                report.add(what, seconds)
                ratio = report.median(what, _THEIRS) / report.median(what, _OURS)
                report.goal(f"{_THEIRS} ÷ {_OURS}, {what}", ratio, ">=", 1)
        await report.finish(dsn)


if __name__ == "__main__":
    run(main, parser(__doc__ or "", repeat=3).parse_args())
