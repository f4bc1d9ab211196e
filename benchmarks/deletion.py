"""Deleting nodes with their links: aiidadb, aiida-core and bare SQL, each on a fresh copy.

The set is the same for all: whole families of nodes, up to the number asked for. Two ways are
timed: as people delete, with the provenance rules looked at (``delete_nodes`` there,
``get_nodes_to_delete`` and ``delete_nodes_and_connections`` here), and the bare deletion of a set
that is known. The floor is hand-written SQL in one transaction on asyncpg, with its foreign-key
checks: memberships, links and nodes, as comments and logs go by ``on delete cascade`` there.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg
from common import Report, Server, aiida_storage, parser, profile_of, run

import aiidadb

if TYPE_CHECKING:
    import argparse

Contestant: TypeAlias = Callable[[str, list[int]], Awaitable[float]]

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
    seconds: dict[str, dict[str, list[float]]] = {
        group: {name: [] for name in contestants} for group, contestants in CONTESTANTS.items()
    }
    for _ in range(arguments.repeat):
        for group, contestants in CONTESTANTS.items():
            for name, contestant in contestants.items():
                async with server.clone(campaign) as dsn:
                    seconds[group][name].append(await contestant(dsn, pks))
    for group, values in seconds.items():
        report.add(group, values)
    report.goal(
        "with the rules: aiida-core / aiidadb",
        report.median(WITH_RULES, "aiida-core") / report.median(WITH_RULES, "aiidadb"),
        ">=",
        1.5,
    )
    report.goal(
        "a known set: aiidadb / floor",
        report.median(BARE, "aiidadb") / report.median(BARE, "floor"),
        "<=",
        1.3,
    )
    ratio = report.median(BARE, "aiida-core") / report.median(BARE, "aiidadb")
    report.note(f"a known set: aiida-core / aiidadb is {ratio:.2f}")
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
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
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


CONTESTANTS: Final[Mapping[str, Mapping[str, Contestant]]] = {
    WITH_RULES: {"aiidadb": with_rules_by_aiidadb, "aiida-core": with_rules_by_aiida},
    BARE: {"aiidadb": by_aiidadb, "floor": by_plain_sql, "aiida-core": by_aiida},
}

if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0], repeat=5)
    options.add_argument("--delete", type=int, default=20_000, help="nodes to delete")
    run(main, options.parse_args())
