"""Closest structures of bands: aiidadb, aiida-core's QueryBuilder, and the floor.

The floor is what the index probes cost with no recursion: the pairs of start and node that the
walk expands are laid down in a table beforehand, level by level, and the same probes run once over
it in plain SQL. QueryBuilder follows ``create`` and ``input_calc`` alone, and does not tell which
ancestor is the closest; to find that with it, one walks up level by level.

``--nodes 1500000 --starts 8000`` is the large one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    from aiida.storage.psql_dos.backend import PsqlDosBackend

_PROBES = """
    select
        expanded.start,
        min(found.node) filter (where found.hit) as parent
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
    """The right answer from QueryBuilder: one query a level, over links of every type."""
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
                parents[start] = min(hits)
                break
            seen.update(found)
            level = list(found)
    return parents


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

    sample = starts[:: max(1, number // arguments.sample)]
    async with (
        aiidadb.open_backend(profile_of(dsn)) as backend,
        aiida_storage(dsn) as storage,
    ):
        parents = await backend.queries.get_closest_parents(starts, node_type=STRUCTURE)
        assert parents == await probe(), "walk and floor must agree"
        right = walk_with_query_builder(storage, sample[:20])
        assert right == {pk: parents[pk] for pk in sample[:20] if pk in parents}

        ours = {
            "aiidadb": lambda: backend.queries.get_closest_parents(starts, node_type=STRUCTURE),
            "floor: the same probes, no recursion": probe,
        }
        seconds = await measure(ours, repeat=3 * arguments.repeat, warmup=3)
        peers = {
            "aiida-core, one query for all their ancestors": lambda: query_all_ancestors(
                storage, starts
            ),
            "aiida-core, one query for all their structures": lambda: query_all_structures(
                storage, starts
            ),
            "aiida-core, one query each": lambda: query_one_by_one(storage, sample),
            "aiida-core, level by level (the closest)": lambda: walk_with_query_builder(
                storage, sample[:50]
            ),
            "aiidadb ": ours["aiidadb"],
        }
        times = await measure(peers, repeat=arguments.repeat)
    times["aiida-core, one query each"] = [
        one * number / len(sample) for one in times["aiida-core, one query each"]
    ]
    times["aiida-core, level by level (the closest)"] = [
        one * number / len(sample[:50]) for one in times["aiida-core, level by level (the closest)"]
    ]
    # Beside the peer, which takes long, and beside the floor: all of our runs count.
    seconds["aiidadb"] += times.pop("aiidadb ")
    await connection.close()

    group = f"{number:,} bands"
    report.add(group, seconds | times)
    mine = report.median(group, "aiidadb")
    each = report.median(group, "aiida-core, one query each")
    everything = report.median(group, "aiida-core, one query for all their ancestors")
    report.note(
        f"{pairs:,} pairs of start and node are expanded, {pairs / number:.1f} a start; "
        f"{len(parents):,} of the bands have a structure"
    )
    if len(sample) < number:
        report.note(f"one query each: measured on {len(sample):,}, scaled to all")
    report.note("level by level: measured on 50, scaled to all")
    report.goal("aiida-core one by one ÷ aiidadb", each / mine, ">=", 300)
    report.goal("aiida-core's one query for all ancestors ÷ aiidadb", everything / mine, ">=", 5)
    report.goal(
        "aiidadb ÷ floor", mine / report.median(group, "floor: the same probes, no recursion"),
        "<=", 1.4,
    )  # fmt: skip
    await report.finish(dsn)


if __name__ == "__main__":
    options = parser(__doc__ or "", repeat=3)
    options.add_argument("--starts", type=int, default=500, help="bands whose structures are asked")
    options.add_argument(
        "--sample", type=int, default=500, help="starts for aiida-core's one query each, scaled"
    )
    run(main, options.parse_args())
