"""Graphs that make a careless traversal explode: chain, ladder of diamonds, double steps, cycle.

Closest parents without a match, from one start, beside the plain closure of the same graph: a
recursive CTE that gives no distance and stops nowhere. Then all parents, and the nodes to delete by
the provenance rules, from one end and from all nodes at once. Each at two sizes, to see that it is
linear. The times are those of the processor, client and server together: on a busy machine the time
that passes is no measure of how work grows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import asyncpg
from common import (
    STRUCTURE,
    Report,
    Server,
    measure,
    parser,
    processor_time,
    profile_of,
    run,
    server_of,
)

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


async def other_traversals(
    report: Report,
    backend: aiidadb.Backend,
    shape: str,
    sizes: tuple[int, int],
    unit: str,
    lasts: list[int],
    repeat: int,
    clock: Callable[[], float],
) -> None:
    """All parents and nodes to delete, of the graphs that ``write`` put side by side."""
    contestants: dict[str, Callable[[], object]] = {}
    parents, doomed = backend.queries.get_all_parents, backend.get_nodes_to_delete
    names = (
        "all parents of one",
        "all parents of all",
        "nodes to delete with one",
        "nodes to delete with all",
    )
    first = 1
    for size, last in zip(sizes, lasts, strict=True):
        pks = range(first, last + 1)
        calls = (partial(parents, last), partial(parents, pks), partial(doomed, first))
        for name, call in zip(names, (*calls, partial(doomed, pks)), strict=True):
            contestants[f"{name}, {size:,} {unit}"] = call
        first = last + 1
    group = f"{shape}, other traversals"
    report.add(group, await measure(contestants, repeat=repeat, warmup=2, clock=clock))
    for name in names:
        small, large = (f"{name}, {size:,} {unit}" for size in sizes)
        double = report.growth(group, small, large)
        report.goal(f"{shape}, {name}: {sizes[1]:,} ÷ {sizes[0]:,}", double, "<=", 2.3)


async def main(arguments: argparse.Namespace, server: Server) -> None:
    report = Report(
        "shapes", "graphs that make a careless traversal explode", {"repeat": arguments.repeat}
    )
    async with server.empty() as dsn:
        connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
        closure = await connection.prepare(_CLOSURE)
        async with aiidadb.open_backend(profile_of(dsn), max_size=1) as backend:
            clock = partial(processor_time, connection.get_server_pid(), await server_of(backend))

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
                report.add(
                    shape,
                    await measure(contestants, repeat=arguments.repeat, warmup=2, clock=clock),
                )
                mine = report.median(shape, f"aiidadb, {size:,} {unit}")
                plain = report.median(shape, f"plain closure, {size:,} {unit}")
                double = report.growth(
                    shape, f"aiidadb, {half:,} {unit}", f"aiidadb, {size:,} {unit}"
                )
                report.goal(f"{shape}: aiidadb ÷ plain closure", mine / plain, "<=", 3)
                # Twice the size in twice the time, and some leeway for the machine.
                report.goal(f"{shape}: {size:,} ÷ {half:,}", double, "<=", 2.5)
                await other_traversals(
                    report, backend, shape, (half, size), unit, starts, arguments.repeat, clock
                )
        await connection.close()
        await report.finish(dsn)


if __name__ == "__main__":
    run(main, parser(__doc__ or "", repeat=9).parse_args())
