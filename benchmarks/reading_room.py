"""What web services ask, part by part: aiidadb, aiida-core and floors, on the same nodes.

Each part writes its own result; ``--part`` chooses some of them.

- ``links``: links and their numbers of the neighbours of a workflow. aiida-core's own way is that
  of its REST API: it loads every node at the other end of a link to count them. The floor is one
  join for each direction, with nothing put together.
- ``types``: which kinds of nodes there are, and how many. The floor is one ``group by``.
- ``processes``: the list of active ones, see ``process_list.py``.
- ``edits``: labels, extras and members of many nodes, see ``node_edits.py``.
- ``growth``: the same questions about the same nodes, in a campaign of ``--nodes`` and in one of
  ``--large``.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Final

import asyncpg
from common import Report, Server, aiida_storage, measure, parser, profile_of, run
from node_edits import edits
from process_list import processes

import aiidadb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from aiida.storage.psql_dos.backend import PsqlDosBackend

_MANY: Final = 1_000
"""Links from which on a node is left out of the usual neighbours: codes and pseudopotentials."""

_WORKFLOW: Final = "process.workflow.workchain.WorkChainNode."

_JOIN: Final = """
    select link.{here}, link.type, link.label, node.id, node.uuid, node.node_type, node.label
    from db_dblink as link
    inner join db_dbnode as node on node.id = link.{other}
    where link.{here} = any($1::int[])
"""
_GROUP_BY: Final = """
    select node_type, process_type, count(*)
    from db_dbnode
    group by node_type, process_type
"""


# ------------------------------------------------------------------------------- links and counts


async def links(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    report = Report(
        f"reading_room_links_{arguments.nodes}",
        f"Links and their numbers of 50 neighbours, {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "seed": arguments.seed, "neighbours": 50},
    )
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
    try:
        async with (
            aiidadb.open_backend(profile_of(dsn)) as backend,
            aiida_storage(dsn) as storage,
        ):
            usual, with_hubs = await neighbours(backend, 50)
            asked = {
                "50 neighbours": usual,
                "50 neighbours, codes and pseudopotentials among them": with_hubs,
            }
            for what, pks in asked.items():
                await _compare_links(
                    report, what, pks, arguments.repeat, backend, storage, connection
                )
    finally:
        await connection.close()
    for what in asked:
        ratio = report.median(what, "aiida-core") / report.median(what, "aiidadb")
        report.goal(f"{what}: aiida-core / aiidadb", ratio, ">=", 50.0)
    await report.finish(dsn)


async def neighbours(backend: aiidadb.Backend, number: int) -> tuple[list[int], list[int]]:
    """Pks of so many nodes around a workflow, without those of very many links and with them."""
    rows = await backend.query().append(_WORKFLOW, project="id").all()
    workflow = max(pk for (pk,) in rows)
    found = await backend.queries.get_provenance(workflow, depth=4, limit=20 * number)
    pks = [node.pk for node in found.nodes if node.depth]
    counts = await backend.queries.get_link_counts(pks)
    hubs = [pk for pk in pks if sum(counts[pk].outgoing.values()) >= _MANY]
    usual = [pk for pk in pks if pk not in hubs][:number]
    return usual, [*hubs, *usual][:number]


async def _compare_links(
    report: Report,
    what: str,
    pks: list[int],
    repeat: int,
    backend: aiidadb.Backend,
    storage: PsqlDosBackend,
    connection: asyncpg.Connection,
) -> None:
    async def ours() -> dict[int, tuple[Counter[str], Counter[str]]]:
        incoming = await backend.queries.get_links(pks, "incoming")
        outgoing = await backend.queries.get_links(pks, "outgoing")
        counts = await backend.queries.get_link_counts(pks)
        assert all(len(incoming[pk]) == sum(counts[pk].incoming.values()) for pk in pks)
        assert all(len(outgoing[pk]) == sum(counts[pk].outgoing.values()) for pk in pks)
        return {pk: (Counter(counts[pk].incoming), Counter(counts[pk].outgoing)) for pk in pks}

    def theirs() -> dict[int, tuple[Counter[str], Counter[str]]]:
        from aiida import orm

        found = {}
        for pk in pks:
            query = orm.QueryBuilder(backend=storage).append(orm.Node, filters={"id": pk})
            node = query.first(flat=True)
            incoming = node.base.links.get_incoming().all()
            outgoing = node.base.links.get_outgoing().all()
            found[pk] = (
                Counter(one.link_type.value for one in incoming),
                Counter(one.link_type.value for one in outgoing),
            )
        storage.get_session().expunge_all()  # so that each run loads them
        return found

    async def floor() -> None:
        await connection.fetch(_JOIN.format(here="output_id", other="input_id"), pks)
        await connection.fetch(_JOIN.format(here="input_id", other="output_id"), pks)

    assert await ours() == theirs()
    seconds = await measure(
        {"aiidadb": ours, "aiida-core": theirs, "floor: two joins": floor},
        repeat=repeat,
        in_a_row={"aiidadb": 5, "floor: two joins": 5},
    )
    report.add(what, seconds)
    number = sum(both.total() for counts in (await ours()).values() for both in counts)
    report.note(f"{what}: {number:,} links.")


# ------------------------------------------------------------------------------------- full types


async def types(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    report = Report(
        f"reading_room_types_{arguments.nodes}",
        f"Full types with counts, {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "seed": arguments.seed},
    )
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
    try:
        async with (
            aiidadb.open_backend(profile_of(dsn)) as backend,
            aiida_storage(dsn) as storage,
        ):
            ours = {one.full_type: one.count for one in await backend.queries.get_full_types()}
            assert ours == _their_types(storage)
            seconds = await measure(
                {
                    "aiidadb": backend.queries.get_full_types,
                    "aiida-core": lambda: _their_types(storage),
                    "floor: one group by": lambda: connection.fetch(_GROUP_BY),
                },
                repeat=arguments.repeat,
            )
    finally:
        await connection.close()
    report.add("full types", seconds)
    report.goal(
        "aiidadb / one group by",
        report.median("full types", "aiidadb") / report.median("full types", "floor: one group by"),
        "<=",
        2.0,
    )
    report.note("aiida-core: as its REST API, a count for each of the distinct types.")
    await report.finish(dsn)


def _their_types(storage: PsqlDosBackend) -> dict[str, int]:
    from aiida import orm
    from aiida.restapi.common.identifiers import construct_full_type, get_full_type_filters

    query = orm.QueryBuilder(backend=storage)
    query.append(orm.Node, project=["node_type", "process_type"]).distinct()
    found = {}
    for name in {construct_full_type(*row) for row in query.all()}:
        counting = orm.QueryBuilder(backend=storage)
        counting.append(orm.Node, filters=get_full_type_filters(name))
        found[name] = counting.count()
    return found


# ----------------------------------------------------------------------------------------- growth


async def growth(arguments: argparse.Namespace, server: Server) -> None:
    report = Report(
        f"reading_room_growth_{arguments.large}",
        f"The same questions of {arguments.nodes:,} and of {arguments.large:,} nodes",
        {"nodes": arguments.nodes, "large": arguments.large, "seed": arguments.seed},
    )
    async with contextlib.AsyncExitStack() as stack:
        backends = {}
        for nodes in (arguments.nodes, arguments.large):
            dsn = await server.campaign(nodes, arguments.seed)
            backends[nodes] = await stack.enter_async_context(aiidadb.open_backend(profile_of(dsn)))
        small, large = backends[arguments.nodes], backends[arguments.large]
        # The first blocks of both campaigns are the same.
        pks = await near_an_early_workflow(small)
        asked = questions(pks, await the_most_used(small))
        for what, ask in asked.items():
            # How much there is must not differ; which nodes of a hub, may.
            assert size(await ask(small.queries)) == size(await ask(large.queries)), what
            seconds = await measure(
                {
                    f"{nodes:,} nodes": lambda ask=ask, one=one: ask(one.queries)
                    for nodes, one in backends.items()
                },
                repeat=3 * arguments.repeat,
            )
            report.add(what, seconds)
            names = [f"{nodes:,} nodes" for nodes in backends]
            report.goal(f"{what}: large / small", report.growth(what, *names), "<=", 2.0)
    report.note("The two are measured in turn; the ratio is that of the fastest runs.")
    await report.finish(dsn)


async def near_an_early_workflow(backend: aiidadb.Backend) -> list[int]:
    """Pks of 50 nodes of few links around a workflow of one of the first blocks."""
    rows = await backend.query().append(_WORKFLOW, project="id").all()
    workflow = sorted(pk for (pk,) in rows)[20]
    found = await backend.queries.get_provenance(workflow, depth=3, limit=500)
    pks = [node.pk for node in found.nodes]
    counts = await backend.queries.get_link_counts(pks)
    return [pk for pk in pks if sum(counts[pk].outgoing.values()) < 20][:50]


async def the_most_used(backend: aiidadb.Backend) -> int:
    """The pk of the node with the most outgoing links, a code."""
    async with backend.connection() as connection:
        pk: int = await connection.fetchval(
            "select input_id from db_dblink group by input_id order by count(*) desc limit 1"
        )
    return pk


def questions(
    pks: list[int], code: int
) -> dict[str, Callable[[aiidadb.QueryManager], Awaitable[object]]]:
    """What is asked of both, by name."""
    return {
        "links of 50 nodes": lambda queries: queries.get_links(pks, "outgoing"),
        "20 links of a code": lambda queries: queries.get_links(code, "outgoing", limit=20),
        "numbers of links of 50 nodes": lambda queries: queries.get_link_counts(pks),
        "descendants, 3 links away at most, with depth": lambda queries: queries.get_descendants(
            pks[:1], ("id", "depth"), link_types=None, max_depth=3
        ),
        "ancestors with depth": lambda queries: queries.get_all_parents(
            pks, ("id", "label", "depth")
        ),
        "provenance 2 links away, 500 nodes at most": lambda queries: queries.get_provenance(
            pks[0], depth=2, limit=500
        ),
    }


def size(answer: object) -> int:
    """How much there is in an answer."""
    if isinstance(answer, aiidadb.Provenance):
        return len(answer.nodes)
    if isinstance(answer, dict):
        return sum(len(one) if isinstance(one, list) else 1 for one in answer.values())
    assert isinstance(answer, list)
    return len(answer)


# -------------------------------------------------------------------------------------- the parts

PARTS: Final = {
    "links": links,
    "types": types,
    "processes": processes,
    "edits": edits,
    "growth": growth,
}


async def main(arguments: argparse.Namespace, server: Server) -> None:
    for name in arguments.part or PARTS:
        await PARTS[name](arguments, server)


if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--large", type=int, default=1_500_000, help="nodes of the large campaign")
    options.add_argument(
        "--part", action="append", choices=list(PARTS), help="one part; repeatable"
    )
    run(main, options.parse_args())
