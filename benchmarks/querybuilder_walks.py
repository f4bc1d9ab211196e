"""Walks of the query builder over graphs that make a careless one explode, at two sizes each.

The graphs are those of ``shapes.py``. With ``distinct`` each descendant of one end is found once,
beside the plain closure of the same graph by hand. Without it there is a row for each path, which
is reported of the chain only: the others have too many to count. Times are those of the processor,
client and server together.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
from common import Report, Server, measure, parser, processor_time, profile_of, run, server_of
from shapes import SHAPES, write

import aiidadb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_CLOSURE: Final = """
    with recursive reached (node) as (
        select output_id
        from db_dblink
        where input_id = $1::int
        union
        select link.output_id
        from reached
        cross join lateral (
            select output_id
            from db_dblink
            where input_id = reached.node and type in ('create', 'input_calc')
            offset 0
        ) as link
    )
    select count(*) from reached join db_dbnode on db_dbnode.id = reached.node
"""
_BY_HAND: Final = "plain closure"
_DISTINCT: Final = "aiidadb, distinct"
_DEPTHS: Final = "aiidadb, distinct with depth"
_PATHS: Final = "aiidadb, each path"


def descendants(backend: aiidadb.Backend, start: int) -> aiidadb.QueryBuilder:
    """A query for what descends from a node."""
    query = backend.query().append("", tag="start", filters={"id": start})
    return query.append("", with_ancestors="start", project="id", edge_tag="way")


def questions(
    backend: aiidadb.Backend, connection: asyncpg.Connection, start: int, *, is_chain: bool
) -> dict[str, Callable[[], object]]:
    """By name, what is asked of one graph."""
    distinct = descendants(backend, start).distinct()
    found: dict[str, Callable[[], object]] = {
        _DISTINCT: distinct.count,
        _BY_HAND: partial(connection.fetchval, _CLOSURE, start),
    }
    if is_chain:
        found[_PATHS] = descendants(backend, start).count
        depths = descendants(backend, start).add_projection("way", "depth").distinct()
        found[_DEPTHS] = depths.count
    return found


async def main(arguments: argparse.Namespace, server: Server) -> None:
    report = Report(
        "querybuilder_walks",
        "descendants over graphs that make a careless walk explode: processor time",
        {"repeat": arguments.repeat},
    )
    async with server.empty() as dsn:
        connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
        async with aiidadb.open_backend(profile_of(dsn), max_size=1) as backend:
            clock = partial(processor_time, connection.get_server_pid(), await server_of(backend))
            for shape, (make, size, unit) in SHAPES.items():
                sizes = (size, 2 * size)
                lasts = await write(connection, [make(one) for one in sizes])
                contestants: dict[str, Callable[[], object]] = {}
                for part, first in zip(sizes, (1, lasts[0] + 1), strict=True):
                    asked = questions(backend, connection, first, is_chain=shape == "chain")
                    assert await asked[_DISTINCT]() == await asked[_BY_HAND]()
                    contestants |= {f"{who}, {part:,} {unit}": one for who, one in asked.items()}
                seconds = await measure(contestants, repeat=arguments.repeat, warmup=2, clock=clock)
                report.add(shape, seconds)
                for who in asked:
                    if who == _BY_HAND:
                        continue
                    small, large = (f"{who}, {part:,} {unit}" for part in sizes)
                    growth = report.growth(shape, small, large)
                    # Twice the size in twice the time, and some leeway for the machine.
                    what = f"{shape}, {who}: {sizes[1]:,} ÷ {sizes[0]:,} {unit}"
                    report.goal(what, growth, "<=", 2.3)
                mine = report.median(shape, f"{_DISTINCT}, {size:,} {unit}")
                plain = report.median(shape, f"{_BY_HAND}, {size:,} {unit}")
                report.goal(f"{shape}: aiidadb, distinct ÷ {_BY_HAND}", mine / plain, "<=", 2)
        await connection.close()
        await report.finish(dsn)


if __name__ == "__main__":
    run(main, parser(__doc__ or "", repeat=9).parse_args())
