"""Graphs that make a careless traversal explode: chain, ladder of diamonds, double steps, cycle.

Closest parents without a match, from one start, beside the plain closure of the same graph: a
recursive CTE that tells no distance and stops nowhere. Each at two sizes, to see that it is linear.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import asyncpg
from common import STRUCTURE, Report, Server, measure, parser, profile_of, run

import aiidadb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Links = list[tuple[int, int]]

_CLOSURE = """
    with recursive reached (node) as (
        select $1::int
        union
        select db_dblink.input_id
        from reached
        join db_dblink on db_dblink.output_id = reached.node
    )
    select count(*) from reached
"""


def chain(size: int) -> Links:
    """Each node comes from the one before."""
    return [(node, node + 1) for node in range(1, size + 1)]


def ladder(diamonds: int) -> Links:
    """Diamonds one on the other: twice as many paths with each."""
    links = []
    for bottom in range(1, 3 * diamonds, 3):
        left, right, top = bottom + 1, bottom + 2, bottom + 3
        links += [(bottom, left), (bottom, right), (left, top), (right, top)]
    return links


def double_steps(size: int) -> Links:
    """Each node comes from the two before: reached at very many distances."""
    return [
        (node, node + step) for node in range(1, size) for step in (1, 2) if node + step <= size
    ]


def cycle(size: int) -> Links:
    """A chain that returns what it was given."""
    return [*chain(size - 1), (size, 1)]


SHAPES: dict[str, tuple[Callable[[int], Links], int, str]] = {
    "chain": (chain, 20_000, "links"),
    "ladder": (ladder, 2_000, "diamonds"),
    "double steps": (double_steps, 5_000, "nodes"),
    "cycle": (cycle, 20_000, "nodes"),
}


async def write(connection: asyncpg.Connection, graphs: list[Links]) -> list[int]:
    """Put graphs side by side into an empty database; gives the last node of each."""
    lasts: list[int] = []
    links: Links = []
    for graph in graphs:
        first = lasts[-1] if lasts else 0
        links += [(first + source, first + target) for source, target in graph]
        lasts.append(first + max(max(link) for link in graph))
    await connection.execute("truncate db_dblink, db_dbnode cascade")
    await connection.execute(
        """
        insert into db_dbuser (email, first_name, last_name, institution)
        values ('ada@epfl.ch', '', '', '')
        on conflict do nothing
        """
    )
    await connection.execute(
        """
        insert into db_dbnode (
            id, uuid, node_type, label, description, ctime, mtime, user_id, attributes, extras,
            repository_metadata
        )
        select
            pk, gen_random_uuid(), 'data.core.int.Int.', '', '', now(), now(), person.id,
            '{}', '{}', '{}'
        from generate_series(1, $1::int) as pk
        cross join (select min(id) as id from db_dbuser) as person
        """,
        lasts[-1],
    )
    await connection.copy_records_to_table(
        "db_dblink",
        columns=["input_id", "output_id", "label", "type"],
        records=[(source, target, "result", "create") for source, target in links],
    )
    await connection.execute("vacuum analyze")
    return lasts


async def main(arguments: argparse.Namespace, server: Server) -> None:
    report = Report(
        "shapes", "graphs that make a careless traversal explode", {"repeat": arguments.repeat}
    )
    async with server.empty() as dsn:
        connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
        closure = await connection.prepare(_CLOSURE)
        async with aiidadb.open_backend(profile_of(dsn)) as backend:

            async def ask(start: int) -> None:
                found = await backend.queries.get_closest_parents(start, node_type=STRUCTURE)
                assert found == {}

            for shape, (make, size, unit) in SHAPES.items():
                half = size // 2
                starts = await write(connection, [make(half), make(size)])
                contestants = {}
                for part, start in zip((half, size), starts, strict=True):
                    contestants[f"aiidadb, {part:,} {unit}"] = partial(ask, start)
                    contestants[f"plain closure, {part:,} {unit}"] = partial(
                        closure.fetchval, start
                    )
                report.add(shape, await measure(contestants, repeat=arguments.repeat, warmup=2))
                mine = report.median(shape, f"aiidadb, {size:,} {unit}")
                plain = report.median(shape, f"plain closure, {size:,} {unit}")
                small = report.median(shape, f"aiidadb, {half:,} {unit}")
                report.goal(f"{shape}: aiidadb ÷ plain closure", mine / plain, "<=", 3)
                # Twice the size in twice the time, and some leeway for the machine.
                report.goal(f"{shape}: {size:,} ÷ {half:,}", mine / small, "<=", 2.5)
        await connection.close()
        await report.finish(dsn)


if __name__ == "__main__":
    run(main, parser(__doc__ or "", repeat=9).parse_args())
