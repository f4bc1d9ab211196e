"""Deleting nodes with their links: aiidadb and aiida-core, each on a fresh copy of one database.

The set is the same for both: some structures with all that the provenance rules ask for, up to the
number asked for. What is timed is the deletion, not finding out what to delete. The floor is the
bare deletes of links and nodes, in one transaction with its foreign-key checks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import asyncpg
from common import Report, Server, aiida_storage, parser, profile_of, run

import aiidadb

if TYPE_CHECKING:
    import argparse


async def main(arguments: argparse.Namespace, server: Server) -> None:
    campaign = await server.campaign(arguments.nodes, arguments.seed)
    pks = await choose(campaign, arguments.delete)
    report = Report(
        f"deletion_{arguments.delete}_of_{arguments.nodes}",
        f"Deletion of {len(pks):,} of {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "seed": arguments.seed, "deleted": len(pks)},
    )
    seconds: dict[str, list[float]] = {"aiidadb": [], "aiida-core": [], "floor": []}
    for _ in range(arguments.repeat):
        async with server.clone(campaign) as dsn:
            seconds["aiidadb"].append(await by_aiidadb(dsn, pks))
        async with server.clone(campaign) as dsn:
            seconds["aiida-core"].append(await by_aiida(dsn, pks))
        async with server.clone(campaign) as dsn:
            seconds["floor"].append(await by_plain_sql(dsn, pks))
    report.add("deletion", seconds)
    report.goal(
        "aiida-core / aiidadb",
        report.median("deletion", "aiida-core") / report.median("deletion", "aiidadb"),
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
