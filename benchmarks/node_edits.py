"""Labels, extras and members of 1,000 nodes: aiidadb, aiida-core and bare statements.

A part of ``reading_room.py``, on a copy of the campaign. aiida-core has the nodes loaded already,
and sets them one after the other. The floor is one bare update of the same rows by one array.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from common import Report, Server, aiida_storage, measure, profile_of

import aiidadb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from aiida.storage.psql_dos.backend import PsqlDosBackend

_NUMBER: Final = 1_000

_LABELS: Final = """
    update db_dbnode as node set label = given.label, mtime = clock_timestamp()
    from unnest($1::int[], $2::text[]) as given (pk, label) where node.id = given.pk
"""
_EXTRAS: Final = """
    update db_dbnode as node set extras = extras || given.extra::jsonb, mtime = clock_timestamp()
    from unnest($1::int[], $2::text[]) as given (pk, extra) where node.id = given.pk
"""
_MEMBERS: Final = """
    insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
    select $1, pk from unnest($2::int[]) as given (pk)
"""
_NO_MEMBERS: Final = "delete from db_dbgroup_dbnodes where dbgroup_id = $1"


async def edits(arguments: argparse.Namespace, server: Server) -> None:
    """Measure them, in a campaign of ``--nodes``."""
    report = Report(
        f"reading_room_edits_{arguments.nodes}",
        f"Edits of {_NUMBER:,} nodes, {arguments.nodes:,} nodes in all",
        {"nodes": arguments.nodes, "seed": arguments.seed, "edited": _NUMBER},
    )
    async with server.clone(await server.campaign(arguments.nodes, arguments.seed)) as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            async with (
                aiidadb.open_backend(profile_of(dsn)) as backend,
                aiida_storage(dsn) as storage,
            ):
                kinds = await _kinds(backend, connection, storage, arguments.nodes)
                for what, contestants in kinds.items():
                    theirs = {"aiida-core": contestants["aiida-core"]}
                    others = {who: one for who, one in contestants.items() if who not in theirs}
                    report.add(what, await measure(others, repeat=arguments.repeat))
                    # Of labels and extras, one run takes long enough.
                    report.add(what, await measure(theirs, repeat=1, warmup=0))
        finally:
            await connection.close()
    for what in kinds:
        ours = report.median(what, "aiidadb")
        report.goal(
            f"{what}: aiida-core / aiidadb", report.median(what, "aiida-core") / ours, ">=", 2.0
        )
        report.goal(f"{what}: aiidadb / floor", ours / report.median(what, "floor"), "<=", 3.0)
    report.note("aiidadb locks the nodes in the order of their pks, and says which do not exist.")
    await report.finish(server.dsn)


async def _kinds(
    backend: aiidadb.Backend,
    connection: asyncpg.Connection,
    storage: PsqlDosBackend,
    nodes: int,
) -> Mapping[str, Mapping[str, Callable[[], object]]]:
    """Each kind of edit, by all who make it; what is written differs from time to time."""
    from aiida import orm

    pks = sorted(random.Random(0).sample(range(100, nodes), _NUMBER))
    query = orm.QueryBuilder(backend=storage).append(orm.Node, filters={"id": {"in": pks}})
    loaded: list[Any] = query.all(flat=True)
    group = orm.Group(label="edited", backend=storage).store()
    numbers = itertools.count()

    def labels() -> dict[int, str]:
        return dict.fromkeys(pks, f"label {next(numbers)}")

    def label_theirs() -> None:
        for node in loaded:
            node.label = f"label {next(numbers)}"

    def extend_theirs() -> None:
        for node in loaded:
            node.base.extras.set_many({"reviewed": next(numbers)})

    async def emptied() -> None:
        await connection.execute(_NO_MEMBERS, group.pk)

    async def add_ours() -> None:
        await backend.queries.add_to_group("edited", pks)
        await emptied()

    async def add_theirs() -> None:
        group.add_nodes(loaded)
        await emptied()

    async def add_bare() -> None:
        await connection.execute(_MEMBERS, group.pk, pks)
        await emptied()

    return {
        "labels": {
            "aiidadb": lambda: backend.queries.set_labels(labels()),
            "aiida-core": label_theirs,
            "floor": lambda: connection.execute(_LABELS, pks, list(labels().values())),
        },
        "extras": {
            "aiidadb": lambda: backend.queries.update_extras(
                {pk: {"reviewed": next(numbers)} for pk in pks}
            ),
            "aiida-core": extend_theirs,
            "floor": lambda: connection.execute(
                _EXTRAS, pks, [f'{{"reviewed": {next(numbers)}}}' for _ in pks]
            ),
        },
        "members of a group, put in and taken out": {
            "aiidadb": add_ours,
            "aiida-core": add_theirs,
            "floor": add_bare,
        },
    }
