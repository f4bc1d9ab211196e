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

FIRST: Final = "aiidadb, first look"
LATER: Final = "aiidadb"
CHANGED: Final = "aiidadb, changed_after"
FIRST_WITH_INDEX: Final = "aiidadb, first look, with the index"
WITH_INDEX: Final = "aiidadb, with the index"

ACTIVATE: Final = """
    update db_dbnode
    set attributes = attributes - 'sealed' - 'exit_status' || '{"process_state": "waiting"}'
    where id in (
        select id from db_dbnode where node_type like 'process.%' order by id desc limit $1
    )
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
            async with aiida_storage(dsn) as storage:
                await _compare(report, group[nodes], dsn, storage, arguments.repeat)
        dsn = dsns[arguments.nodes]
    small, large = group.values()
    for what, least in ((LATER, 4.0), (WITH_INDEX, 4.0), (FIRST_WITH_INDEX, 4.0), (FIRST, 1.0)):
        for one in (small, large):
            ratio = report.median(one, "aiida-core") / report.median(one, what)
            report.goal(f"{one}: aiida-core / {what}", ratio, ">=", least)
    for what in (LATER, WITH_INDEX, FIRST_WITH_INDEX, CHANGED):
        ratio = report.growth(large, what, what, small_group=small)
        report.goal(f"{what}: large / small", ratio, "<=", 2.0)
    report.note(f"{NUMBER} processes are active; changed_after gives the last {NUMBER} changes.")
    report.note("With the index: the one that `aiidadb index create` creates.")
    report.note("The first looks are those of a transaction, with its BEGIN and COMMIT.")
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
    report: Report, group: str, dsn: str, storage: PsqlDosBackend, repeat: int
) -> None:
    async with aiidadb.open_backend(profile_of(dsn)) as backend:
        queries = backend.queries
        last = await _time_before_the_last_changes(backend)
        assert await _active(backend) == await _at_all(backend) == _theirs(storage)
        assert len(await queries.get_processes(changed_after=last)) >= NUMBER
        seconds = await measure(
            {
                LATER: lambda: _active(backend),
                CHANGED: lambda: queries.get_processes(changed_after=last),
                FIRST: lambda: _at_all(backend),
                "aiida-core": lambda: _theirs(storage),
            },
            repeat=repeat,
            in_a_row={LATER: 5, CHANGED: 5},
        )
        report.add(group, seconds)
        assert await backend.schema.create_process_state_index()
    async with aiidadb.open_backend(profile_of(dsn)) as backend:
        assert await _active(backend) == await _at_all(backend) == _theirs(storage)
        seconds = await measure(
            {
                WITH_INDEX: lambda: _active(backend),
                FIRST_WITH_INDEX: lambda: _at_all(backend),
                "aiida-core, with the index": lambda: _theirs(storage),
            },
            repeat=repeat,
            in_a_row={WITH_INDEX: 5, FIRST_WITH_INDEX: 5},
        )
        report.add(group, seconds)


async def _active(backend: aiidadb.Backend) -> set[int]:
    return {row.pk for row in await backend.queries.get_processes(states=ACTIVE)}


async def _at_all(backend: aiidadb.Backend) -> set[int]:
    async with backend.transaction():  # in which nothing is remembered
        return await _active(backend)


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
