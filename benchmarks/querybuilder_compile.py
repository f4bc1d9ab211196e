"""Compiling queries beside ``json.dumps`` of their dictionaries: new shapes, and those seen before.

The dictionaries are the 25 examples of the tests and the eight of ``querybuilder_small.py``. Timed
is ``backend.query(dictionary).sql()``, from the dictionary to the text and its parameters. What has
a new shape is the same dictionary with other tags, so that it was never compiled before; what has a
shape seen before is asked for again and again.

All take turns in blocks, and the figures are medians of the ratios of neighbouring blocks. CPU is
``time.process_time`` of this process.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from common import Report, Server, parser, profile_of, run
from querybuilder_small import small_queries

import aiidadb

if TYPE_CHECKING:
    import argparse

_EXAMPLES: Final = Path(__file__).parent.parent / "tests" / "querybuilder" / "examples.jsonl"
_NEW: Final = "a new shape"
_SEEN: Final = "a shape seen before"
_DUMPS: Final = "json.dumps"


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    connection = await asyncpg.connect(dsn)
    try:
        small = {one.what: one.query for one in await small_queries(connection)}
    finally:
        await connection.close()
    lines = _EXAMPLES.read_text(encoding="utf-8").splitlines()
    examples = {one["name"]: one["query"] for one in map(json.loads, lines)}
    report = Report(
        "querybuilder_compile",
        "Compiling queries beside json.dumps of their dictionaries: the client's CPU",
        {"calls": arguments.calls, "blocks": arguments.repeat},
    )
    new: dict[str, float] = {}
    seen: dict[str, float] = {}
    async with aiidadb.open_backend(profile_of(dsn)) as backend:
        for name, query in (*examples.items(), *small.items()):
            taken = _blocks(backend, query, arguments.calls, arguments.repeat)
            report.add(
                name, {who: [1e6 * one for one in each] for who, each in taken.items()}, unit="µs"
            )
            new[name], seen[name] = _ratio(taken, _NEW), _ratio(taken, _SEEN)
    for what, ratios, must in ((_NEW, new, 10), (_SEEN, seen, 3)):
        slowest = max(ratios, key=lambda name: ratios[name])
        report.goal(f"{what} / json.dumps, median", statistics.median(ratios.values()), "<=", must)
        report.goal(f"{what} / json.dumps, {slowest}", ratios[slowest], "<=", must)
    await report.finish(dsn)


def _blocks(
    backend: aiidadb.Backend, query: dict[str, Any], calls: int, repeat: int
) -> dict[str, list[float]]:
    """Seconds per call of each, block by block."""
    taken: dict[str, list[float]] = {_DUMPS: [], _NEW: [], _SEEN: []}
    for turn in range(-1, repeat):
        new = [_with_other_tags(query, f"{turn}_{number}") for number in range(calls)]
        gc.collect()
        seconds = {
            _DUMPS: _timed(lambda one: json.dumps(one), new),
            _NEW: _timed(lambda one: backend.query(one).sql(), new),
            _SEEN: _timed(lambda one: backend.query(one).sql(), new[-1:] * calls),
        }
        if turn >= 0:  # the first is the warm-up
            for name, one in seconds.items():
                taken[name].append(one / calls)
    return taken


def _timed(call: Any, queries: list[dict[str, Any]]) -> float:
    begin = time.process_time()
    for query in queries:
        call(query)
    return time.process_time() - begin


def _with_other_tags(query: dict[str, Any], ending: str) -> dict[str, Any]:
    """The same query, with an ending on each tag."""

    def by_tag(parts: dict[str, Any]) -> dict[str, Any]:
        return {f"{tag}{ending}": part for tag, part in parts.items()}

    def other(tag: str | None) -> str | None:
        return None if tag is None else f"{tag}{ending}"

    path = [
        {
            **vertex,
            "tag": other(vertex["tag"]),
            "joining_value": other(vertex["joining_value"]),
            "edge_tag": other(vertex["edge_tag"]),
        }
        for vertex in query["path"]
    ]
    return {
        **query,
        "path": path,
        "filters": by_tag(query["filters"]),
        "project": by_tag(query["project"]),
        "order_by": [by_tag(one) for one in query["order_by"]],
    }


def _ratio(taken: dict[str, list[float]], what: str) -> float:
    """The median of what it takes by ``json.dumps``, each pair measured one after the other."""
    pairs = zip(taken[what], taken[_DUMPS], strict=True)
    return statistics.median(one / dumps for one, dumps in pairs)


if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0], repeat=15)
    options.add_argument("--calls", type=int, default=50, help="calls in each block")
    run(main, options.parse_args())
