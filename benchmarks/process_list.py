"""The list of active processes: aiidadb and aiida-core, beside the campaign of ``--large`` nodes.

A part of ``reading_room.py``. Of the campaign's processes, which have all finished, the last 40 are
made active. The first look of a backend, and one inside a transaction, are looks at all processes;
so are aiida-core's. Later ones are at what was active and what has changed since.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import asyncpg
from common import Report, Server, aiida_storage, measure, profile_of

import aiidadb

if TYPE_CHECKING:
    import argparse
    import datetime
    from collections.abc import AsyncIterator

    from aiida.storage.psql_dos.backend import PsqlDosBackend

ACTIVE: Final = ("created", "running", "waiting")
NUMBER: Final = 40

ACTIVATE: Final = """
    update db_dbnode
    set attributes = attributes - 'sealed' - 'exit_status' || '{"process_state": "waiting"}'
    where id in (
        select id from db_dbnode where node_type like 'process.%' order by id desc limit $1
    )
"""
_INDEX: Final = """
    create index on db_dbnode ((attributes ->> 'process_state')) where node_type like 'process.%';
    analyze db_dbnode
"""
COLUMNS: Final = (
    "id",
    "uuid",
    *(f"attributes.process_{name}" for name in ("label", "state", "status")),
    "process_type",
    *(f"attributes.{name}" for name in ("exit_status", "paused", "sealed")),
    "ctime",
    "mtime",
)


async def processes(arguments: argparse.Namespace, server: Server) -> None:
    """Measure it, in a campaign of ``--nodes``, and in one of ``--large``."""
    report = Report(
        f"reading_room_processes_{arguments.large}",
        f"Active processes, {arguments.nodes:,} and {arguments.large:,} nodes",
        {"nodes": arguments.nodes, "large": arguments.large, "seed": arguments.seed},
    )
    group = {nodes: f"{nodes:,} nodes" for nodes in (arguments.nodes, arguments.large)}
    async with contextlib.AsyncExitStack() as stack:
        dsns = {
            nodes: await stack.enter_async_context(_with_active(server, nodes, arguments.seed))
            for nodes in group
        }
        for nodes, dsn in dsns.items():
            async with (
                aiidadb.open_backend(profile_of(dsn)) as backend,
                aiida_storage(dsn) as storage,
            ):
                await _compare(report, group[nodes], backend, storage, arguments.repeat)
        dsn = dsns[arguments.nodes]
    small, large = group.values()
    for what, least in (("aiidadb", 4.0), ("aiidadb, all looked at", 1.0)):
        ratio = report.median(small, "aiida-core") / report.median(small, what)
        report.goal(f"{small}: aiida-core / {what}", ratio, ">=", least)
    for what in ("aiidadb", "aiidadb, changed_after", "aiidadb, all, with the index"):
        ratio = report.growth(large, what, what, small_group=small)
        report.goal(f"{what}: large / small", ratio, "<=", 2.0)
    report.note(f"{NUMBER} processes are active; changed_after gives the last {NUMBER} changes.")
    report.note("With the index: the one on states that get_processes() documents.")
    await report.finish(server.dsn)


@contextlib.asynccontextmanager
async def _with_active(server: Server, nodes: int, seed: int) -> AsyncIterator[str]:
    async with server.clone(await server.campaign(nodes, seed)) as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(ACTIVATE, NUMBER)
            await connection.execute("vacuum analyze db_dbnode", timeout=3600)
        finally:
            await connection.close()
        yield dsn


async def _compare(
    report: Report,
    group: str,
    backend: aiidadb.Backend,
    storage: PsqlDosBackend,
    repeat: int,
) -> None:
    last = await _time_before_the_last_changes(backend)

    async def ours() -> set[int]:
        return {row.pk for row in await backend.queries.get_processes(states=ACTIVE)}

    async def at_all() -> set[int]:
        async with backend.transaction():
            return await ours()

    async def changed() -> list[aiidadb.ProcessRow]:
        return await backend.queries.get_processes(changed_after=last)

    assert await ours() == await at_all() == _theirs(storage)
    assert len(await changed()) >= NUMBER
    seconds = await measure(
        {
            "aiidadb": ours,
            "aiidadb, changed_after": changed,
            "aiidadb, all looked at": at_all,
            "aiida-core": lambda: _theirs(storage),
        },
        repeat=repeat,
        in_a_row={"aiidadb": 5, "aiidadb, changed_after": 5},
    )
    report.add(group, seconds)
    async with backend.connection() as connection:
        await connection.execute(_INDEX, timeout=3600)
    by_index = {"aiidadb, all, with the index": at_all}
    report.add(group, await measure(by_index, repeat=5 * repeat))


async def _time_before_the_last_changes(backend: aiidadb.Backend) -> datetime.datetime:
    async with backend.connection() as connection:
        time: datetime.datetime = await connection.fetchval(
            """
            select mtime from db_dbnode where node_type like 'process.%'
            order by mtime desc offset $1 limit 1
            """,
            NUMBER,
        )
    return time


def _theirs(storage: PsqlDosBackend) -> set[int]:
    from aiida import orm

    query = orm.QueryBuilder(backend=storage).append(
        orm.ProcessNode,
        filters={"attributes.process_state": {"in": list(ACTIVE)}},
        project=list(COLUMNS),
    )
    return {pk for pk, *_ in query.order_by({orm.ProcessNode: {"ctime": "desc"}}).all()}
