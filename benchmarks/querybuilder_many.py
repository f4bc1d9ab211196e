"""Many values and many rows of the query builder: 100,000 pks in a filter, 100,000 rows streamed.

- Pks: nodes by a list of pks, beside ``pool.fetch`` of bare asyncpg with the same list as an array:
  the time that passes, the client's CPU, and the longest hold of the loop, which is by how much a
  watch that wakes every millisecond was late.
- Rows: ``iterall()``, of four columns and of whole records, beside aiida-core's ``iterall()`` with
  the same dictionary. Each run is a process of its own, so that memory is of this run: how much
  more of its own the process had at the most (RSS), and in one more run, which is not timed, what
  Python allocated at the most (tracemalloc).
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from all_bands import private_memory
from common import Report, Server, aiida_storage, parser, profile_of, run
from concurrency import watch

import aiidadb
from aiidadb.connecting.opening.connection import COMMAND_TIMEOUT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

_OURS: Final = "aiidadb"
_BARE: Final = "bare asyncpg"
_THEIRS: Final = "aiida-core"
_PROJECTED: Final[dict[str, list[str]]] = {
    "four columns": ["id", "label", "node_type", "ctime"],
    "records": ["*"],
}
_LOOK_EVERY: Final = 1_000  # rows
_MB: Final = 2**20


def _query(project: list[str], filters: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """Nodes, as ``as_dict()`` gives the query."""
    vertex = {
        "entity_type": "",
        "orm_base": "node",
        "tag": "node",
        "joining_keyword": None,
        "joining_value": None,
        "edge_tag": None,
        "outerjoin": False,
    }
    return {
        "path": [vertex],
        "filters": {"node": {"node_type": {"like": "%"}, **filters}},
        "project": {"node": [{name: {}} for name in project]},
        "project_map": {},
        "order_by": [],
        "limit": limit,
        "offset": None,
        "distinct": False,
    }


# ------------------------------------------------------------------------------------------- pks


async def _compare_pks(report: Report, dsn: str, number: int, repeat: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select id from db_dbnode order by id limit $1", number)
    finally:
        await connection.close()
    pks = [row["id"] for row in rows]
    query = _query(["id"], {"id": {"in": pks}}, None)
    sql = "select id from db_dbnode where id = any($1::int[])"
    async with (
        aiidadb.open_backend(profile_of(dsn)) as backend,
        asyncpg.create_pool(dsn, command_timeout=COMMAND_TIMEOUT) as pool,
    ):
        contestants: dict[str, Callable[[], Awaitable[list[Any]]]] = {
            _OURS: lambda: backend.query(query).all(),
            _BARE: lambda: pool.fetch(sql, pks),
        }
        taken: dict[str, dict[str, list[float]]] = {
            what: {name: [] for name in contestants} for what in ("time", "CPU", "longest hold")
        }
        for turn in range(-1, repeat):
            for name in sorted(contestants, reverse=bool(turn % 2)):
                gc.collect()
                async with watch() as late:
                    await asyncio.sleep(0.01)
                    began, cpu = time.perf_counter(), time.process_time()
                    found = await contestants[name]()
                    seconds = time.perf_counter() - began, time.process_time() - cpu
                    await asyncio.sleep(0.01)
                assert len(found) == len(pks)
                del found
                if turn >= 0:  # the first is the warm-up
                    for what, one in zip(taken, (*seconds, max(late)), strict=True):
                        taken[what][name].append(one)
    for what, each in taken.items():
        group = f"{len(pks):,} pks in a filter: {what}"
        report.add(group, each)
        report.goal(f"{group} / bare", _ratio(each, _OURS, _BARE), "<=", 2)


# ------------------------------------------------------------------------------------------ rows


async def work(dsn: str, who: str, what: str, limit: str, traced: str) -> dict[str, float]:
    """One run: seconds, those of the client's CPU, and by how many bytes it grew at the most."""
    query = _query(_PROJECTED[what], {}, int(limit))
    is_traced = traced == "traced"
    number, before, peak = 0, 0, 0
    seconds = cpu = 0.0

    def begin() -> None:
        nonlocal seconds, cpu, before
        before = private_memory("self")
        seconds, cpu = time.perf_counter(), time.process_time()
        if is_traced:
            tracemalloc.start()

    def look() -> None:
        nonlocal number, peak
        number += 1
        if number % _LOOK_EVERY == 0:
            peak = max(peak, private_memory("self"))

    if who == _OURS:
        async with aiidadb.open_backend(profile_of(dsn)) as backend:
            await backend.query({**query, "limit": 1}).all()
            begin()
            async for _ in backend.query(query).iterall():
                look()
            ended = time.perf_counter() - seconds, time.process_time() - cpu
    else:
        async with aiida_storage(dsn) as storage:
            from aiida.orm import QueryBuilder

            QueryBuilder(storage, **{**query, "limit": 1}).all()
            begin()
            for _ in QueryBuilder(storage, **query).iterall():
                look()
            ended = time.perf_counter() - seconds, time.process_time() - cpu
    assert number == int(limit)
    grown = tracemalloc.get_traced_memory()[1] if is_traced else peak - before
    return {"seconds": ended[0], "CPU": ended[1], "grown": float(grown)}


async def _compare_rows(report: Report, dsn: str, limit: int, repeat: int) -> None:
    for what in _PROJECTED:
        told: dict[str, list[dict[str, float]]] = {_OURS: [], _THEIRS: []}
        for _ in range(repeat):
            for who, runs in told.items():
                runs.append(await _in_process(dsn, who, what, str(limit), "timed"))
        traced = await _in_process(dsn, _OURS, what, str(limit), "traced")
        group = f"{limit:,} rows streamed, {what}"
        for key, unit in (("seconds", "s"), ("CPU", "s")):
            each = {who: [one[key] for one in runs] for who, runs in told.items()}
            report.add(f"{group}: {'time' if key == 'seconds' else key}", each, unit=unit)
            if key == "seconds":
                report.goal(f"{group}: aiida-core / aiidadb", _ratio(each, _THEIRS, _OURS), ">=", 4)
        memory = {
            "RSS": [one["grown"] for one in told[_OURS]],
            "tracemalloc": [traced["grown"]],
        }
        report.add(f"{group}: more memory", memory, unit="B")
        for name, values in memory.items():
            report.goal(f"{group}: more memory, {name}, MB", max(values) / _MB, "<=", 10)


async def _in_process(*given: str) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--worker", *given, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    found: dict[str, float] = json.loads(output)
    return found


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    report = Report(
        "querybuilder_many",
        "Many pks in a filter, and many rows streamed",
        {"nodes": arguments.nodes, "number": arguments.number},
    )
    await _compare_pks(report, dsn, arguments.number, 3 * arguments.repeat)
    await _compare_rows(report, dsn, arguments.number, arguments.repeat)
    await report.finish(dsn)


def _ratio(taken: dict[str, list[float]], one: str, other: str) -> float:
    """The median of the ratios of runs that came one right after the other."""
    return statistics.median(
        first / second for first, second in zip(taken[one], taken[other], strict=True)
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(asyncio.run(work(*sys.argv[2:]))))
        sys.exit()
    options = parser(__doc__ or "", repeat=3)
    options.add_argument("--number", type=int, default=100_000, help="of pks, and of rows")
    run(main, options.parse_args())
