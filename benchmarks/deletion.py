"""Deleting nodes with their links: aiidadb and aiida-core, each on a fresh copy of one database.

The set is the same for all: whole families of nodes, up to the number asked for. Two ways are
timed: as people delete, with the provenance rules looked at (``delete_nodes`` there,
``get_nodes_to_delete`` and ``delete_nodes_and_connections`` here), and the bare deletion of a set
that is known. The floor is the bare deletes of links and nodes by SQL, in one transaction with its
foreign-key checks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import asyncpg
from common import Report, Server, aiida_storage, parser, profile_of, run

import aiidadb

if TYPE_CHECKING:
    import argparse

WITH_RULES = "with the provenance rules"
BARE = "a known set"


async def main(arguments: argparse.Namespace, server: Server) -> None:
    campaign = await server.campaign(arguments.nodes, arguments.seed)
    pks = await choose(campaign, arguments.delete)
    report = Report(
        f"deletion_{arguments.delete}_of_{arguments.nodes}",
        f"Deletion of {len(pks):,} of {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "seed": arguments.seed, "deleted": len(pks)},
    )
    for group, contestants in (
        (WITH_RULES, {"aiidadb": with_rules_by_aiidadb, "aiida-core": with_rules_by_aiida}),
        (BARE, {"aiidadb": by_aiidadb, "aiida-core": by_aiida, "floor": by_plain_sql}),
    ):
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(arguments.repeat):
            for name, contestant in contestants.items():
                async with server.clone(campaign) as dsn:
                    seconds[name].append(await contestant(dsn, pks))
        report.add(group, seconds)
    report.goal(
        "with the rules: aiida-core / aiidadb",
        report.median(WITH_RULES, "aiida-core") / report.median(WITH_RULES, "aiidadb"),
        ">=",
        1.5,
    )
    report.goal(
        "bare: aiida-core / aiidadb",
        report.median(BARE, "aiida-core") / report.median(BARE, "aiidadb"),
        ">=",
        1.5,
    )
    await report.finish(campaign)


async def choose(dsn: str, number: int) -> list[int]:
    """Whole families of nodes, so that what is left obeys the rules of provenance."""
    async with aiidadb.open_backend(profile_of(dsn)) as backend:
        connection = await asyncpg.connect(dsn)
        try:
            newest = await connection.fetch("select id from db_dbnode order by id desc")
        finally:
            await connection.close()
        chosen: set[int] = set()
        for row in newest:
            if len(chosen) >= number:
                break
            if row["id"] not in chosen:
                chosen |= await backend.get_nodes_to_delete(row["id"])
    return sorted(chosen)


async def by_aiidadb(dsn: str, pks: list[int]) -> float:
    async with aiidadb.open_backend(profile_of(dsn)) as backend:
        begin = time.perf_counter()
        report = await backend.delete_nodes_and_connections(pks)
        seconds = time.perf_counter() - begin
    assert report.nodes == len(pks)
    return seconds


async def with_rules_by_aiidadb(dsn: str, pks: list[int]) -> float:
    async with aiidadb.open_backend(profile_of(dsn)) as backend:
        begin = time.perf_counter()
        doomed = await backend.get_nodes_to_delete(pks)
        report = await backend.delete_nodes_and_connections(doomed)
        seconds = time.perf_counter() - begin
    assert report.nodes == len(pks)
    return seconds


async def with_rules_by_aiida(dsn: str, pks: list[int]) -> float:
    async with aiida_storage(dsn) as storage:
        from aiida.tools import delete_nodes

        begin = time.perf_counter()
        deleted, done = delete_nodes(pks, dry_run=False, backend=storage)
        seconds = time.perf_counter() - begin
    assert done
    assert len(deleted) == len(pks)
    return seconds


async def by_aiida(dsn: str, pks: list[int]) -> float:
    async with aiida_storage(dsn) as storage:
        begin = time.perf_counter()
        with storage.transaction():
            storage.delete_nodes_and_connections(pks)
        return time.perf_counter() - begin


async def by_plain_sql(dsn: str, pks: list[int]) -> float:
    connection = await asyncpg.connect(dsn)
    try:
        begin = time.perf_counter()
        async with connection.transaction():
            for table, column in (
                ("db_dblink", "input_id"),
                ("db_dblink", "output_id"),
                ("db_dbgroup_dbnodes", "dbnode_id"),
                ("db_dbnode", "id"),
            ):
                await connection.execute(
                    f"delete from {table} using unnest($1::int[]) as asked (pk) "
                    f"where {column} = asked.pk",
                    pks,
                )
        return time.perf_counter() - begin
    finally:
        await connection.close()


if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0], repeat=5)
    options.add_argument("--delete", type=int, default=20_000, help="nodes to delete")
    run(main, options.parse_args())
