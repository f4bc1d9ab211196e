"""Closest structures of bands: aiidadb, aiida-core's QueryBuilder, and the floor.

The floor is what the index probes cost with no recursion: the pairs of start and node that the
walk expands are laid down in a table beforehand, level by level, and the same probes run once over
it in plain SQL. QueryBuilder follows ``create`` and ``input_calc`` alone, and does not say which
ancestor is the closest; to find that with it, one walks up level by level.

``--nodes 1500000 --starts 8000`` is the large one.
"""

from __future__ import annotations

import random
from itertools import cycle
from typing import TYPE_CHECKING, Final

import asyncpg
from common import (
    STRUCTURE,
    Report,
    Server,
    aiida_storage,
    bands_of,
    measure,
    parser,
    profile_of,
    run,
)

import aiidadb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from aiida.storage.psql_dos.backend import PsqlDosBackend

FLOOR: Final = "floor: the same probes, not recursive"
ANCESTORS: Final = "aiida-core, one query for all ancestors"
STRUCTURES: Final = "aiida-core, one query for all structures"
EACH: Final = "aiida-core, one query each"
LEVELS: Final = "aiida-core, level by level"

_PROBES: Final = """
    select
        expanded.start,
        max(found.node) filter (where found.hit) as parent
    from expanded
    cross join lateral (
        select
            link.input_id::bigint as node,
            (parent.id <> expanded.start and parent.matches) as hit
        from db_dblink as link
        cross join lateral (
            select
                db_dbnode.id,
                (db_dbnode.node_type = $1::text) as matches
            from db_dbnode
            where db_dbnode.id = link.input_id
            offset 0
        ) as parent
        where link.output_id = expanded.node
        offset 0
    ) as found
    group by expanded.start
"""


async def lay_down_walk(connection: asyncpg.Connection, starts: list[int]) -> int:
    """Fill the temporary table ``expanded`` with the pairs that a walk expands; gives their number.

    A breadth-first search by plain SQL, one level at a time: what must come out is the same.
    """
    await connection.execute(
        """
        create temporary table expanded (start bigint, node bigint);
        create temporary table seen (start bigint, node bigint, primary key (start, node));
        create temporary table level (start bigint, node bigint);
        create temporary table next_level (start bigint, node bigint, hit boolean);
        """
    )
    await connection.execute(
        "insert into level select start, start from unnest($1::bigint[]) as asked (start)", starts
    )
    while await connection.fetchval("select exists (select 1 from level)"):
        await connection.execute(
            """
            insert into seen select start, node from level on conflict do nothing;
            insert into expanded select start, node from level order by start, node;
            truncate next_level;
            analyze level;
            """
        )
        await connection.execute(
            """
            insert into next_level
            select distinct
                level.start,
                link.input_id,
                node.node_type = $1 and node.id <> level.start
            from level
            join db_dblink as link on link.output_id = level.node
            join db_dbnode as node on node.id = link.input_id
            where not exists (
                select 1 from seen where seen.start = level.start and seen.node = link.input_id
            )
            """,
            STRUCTURE,
        )
        await connection.execute(
            """
            truncate level;
            insert into level
            select start, node
            from next_level
            where start not in (select start from next_level where hit);
            """
        )
    await connection.execute("analyze expanded")
    return int(await connection.fetchval("select count(*) from expanded"))


def query_one_by_one(storage: PsqlDosBackend, starts: list[int]) -> None:
    """All structures among the data ancestors, one query for each start."""
    from aiida import orm

    for pk in starts:
        query = orm.QueryBuilder(backend=storage)
        query.append(orm.BandsData, filters={"id": pk}, tag="bands")
        query.append(orm.StructureData, with_descendants="bands", project="id")
        query.all()


def query_all_ancestors(storage: PsqlDosBackend, starts: list[int]) -> None:
    """All data ancestors of all starts, in one query."""
    from aiida import orm

    query = orm.QueryBuilder(backend=storage)
    query.append(orm.BandsData, filters={"id": {"in": starts}}, tag="bands", project="id")
    query.append(orm.Node, with_descendants="bands", project="id")
    query.all()


def query_all_structures(storage: PsqlDosBackend, starts: list[int]) -> None:
    """The structures among the data ancestors of all starts, in one query."""
    from aiida import orm

    query = orm.QueryBuilder(backend=storage)
    query.append(orm.BandsData, filters={"id": {"in": starts}}, tag="bands", project="id")
    query.append(orm.StructureData, with_descendants="bands", project="id")
    query.all()


def walk_with_query_builder(storage: PsqlDosBackend, starts: list[int]) -> dict[int, int]:
    """The right answer from QueryBuilder: one query per level, over links of every type."""
    from aiida import orm

    parents = {}
    for start in starts:
        seen, level = {start}, [start]
        while level:
            query = orm.QueryBuilder(backend=storage)
            query.append(orm.Node, filters={"id": {"in": level}}, tag="node")
            query.append(orm.Node, with_outgoing="node", project=["id", "node_type"])
            found = {pk: node_type for pk, node_type in query.all() if pk not in seen}
            if hits := [pk for pk, node_type in found.items() if node_type == STRUCTURE]:
                parents[start] = max(hits)
                break
            seen.update(found)
            level = list(found)
    return parents


def cycle_slices(starts: list[int], size: int) -> Iterator[list[int]]:
    """So many starts at a time, mixed, over and over."""
    mixed = random.Random(0).sample(starts, len(starts))
    return cycle([mixed[at : at + size] for at in range(0, len(mixed) - size + 1, size)])


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    number = arguments.starts
    report = Report(
        f"closest_parents_{arguments.nodes}",
        f"closest structure of {number:,} bands, {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "starts": number},
    )
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
    starts = await bands_of(connection, number)
    pairs = await lay_down_walk(connection, starts)
    floor = await connection.prepare(_PROBES)

    async def probe() -> dict[int, int]:
        rows = await floor.fetch(STRUCTURE)
        return {row["start"]: row["parent"] for row in rows if row["parent"] is not None}

    each, walk = cycle_slices(starts, 50), cycle_slices(starts, 10)
    async with (
        aiidadb.open_backend(profile_of(dsn)) as backend,
        aiida_storage(dsn) as storage,
    ):
        parents = await backend.queries.get_closest_parents(starts, node_type=STRUCTURE)
        assert parents == await probe(), "walk and floor must agree"
        some = next(walk)
        right = walk_with_query_builder(storage, some)
        assert right == {pk: parents[pk] for pk in some if pk in parents}

        seconds = await measure(
            {
                "aiidadb": lambda: backend.queries.get_closest_parents(starts, node_type=STRUCTURE),
                FLOOR: probe,
                ANCESTORS: lambda: query_all_ancestors(storage, starts),
                STRUCTURES: lambda: query_all_structures(storage, starts),
                EACH: lambda: query_one_by_one(storage, next(each)),
                LEVELS: lambda: walk_with_query_builder(storage, next(walk)),
            },
            repeat=arguments.repeat,
            in_a_row={"aiidadb": 4, FLOOR: 4},
        )
    await connection.close()
    seconds[EACH] = [one * number / 50 for one in seconds[EACH]]
    seconds[LEVELS] = [one * number / 10 for one in seconds[LEVELS]]

    group = f"{number:,} bands"
    report.add(group, seconds)
    mine = report.median(group, "aiidadb")
    report.note(
        f"{pairs:,} pairs of start and node are expanded, {pairs / number:.1f} a start; "
        f"{len(parents):,} of the bands have a structure"
    )
    report.note(
        "one query each: 50 starts at a time, scaled; which structure is closest is not told"
    )
    report.note(
        "level by level: 10 starts at a time, scaled; it finds the same structures as aiidadb"
    )
    # The goals beside the peer are set for 500 starts, the one beside the floor for any number.
    for name, must in ((EACH, 300), (LEVELS, 300), (ANCESTORS, 5)) if number <= 500 else ():
        report.goal(f"{name} ÷ aiidadb", report.median(group, name) / mine, ">=", must)
    report.goal("aiidadb ÷ floor", mine / report.median(group, FLOOR), "<=", 1.4)
    await report.finish(dsn)


if __name__ == "__main__":
    options = parser(__doc__ or "")
    options.add_argument("--starts", type=int, default=500, help="bands whose structures are asked")
    run(main, options.parse_args())
