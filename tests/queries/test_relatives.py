"""Ancestors and descendants by how far they are, and the provenance around nodes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import hypothesis.strategies as st
import pytest

import aiidadb
from aiidadb import DATA_PROVENANCE, Link, Provenance, ProvenanceNode
from aiidadb.criteria.node_types import translate_node_type
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from tests.helpers.graphs import (
    CALCULATION,
    INT,
    LINK_TYPES,
    SOME_TIME,
    Graph,
    Node,
    each_in_a_transaction,
    graphs,
    write_graph,
    write_links,
    write_nodes,
    write_users,
)
from tests.queries.test_links import explained, uuid_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiida.storage.psql_dos.backend import PsqlDosBackend


def next_to(
    graph: Graph, pks: Iterable[int], types: Collection[str] | None, *, up: bool, down: bool
) -> set[int]:
    """The nodes one link away."""
    found = set()
    for parent, child, kind in graph.links:
        if types is None or kind in types:
            if up and child in pks:
                found.add(parent)
            if down and parent in pks:
                found.add(child)
    return found


def depths_from(
    graph: Graph,
    starts: set[int],
    types: Collection[str] | None,
    max_depth: int | None,
    *,
    up: bool = False,
    down: bool = False,
) -> dict[int, int]:
    """The least number of links to whatever is reached, by a search level by level."""
    found: dict[int, int] = {}
    level, depth = starts, 0
    while level and (max_depth is None or depth < max_depth):
        depth += 1
        level = next_to(graph, level, types, up=up, down=down) - found.keys()
        found |= dict.fromkeys(level, depth)
    return found


async def write(backend: aiidadb.Backend, graph: Graph) -> None:
    await write_graph(backend._session, graph, line=backend.version.line)  # type: ignore[union-attr]


# ---------------------------------------------------------------- beside aiida-core


@pytest.mark.parametrize("relation", ["with_descendants", "with_ancestors"])
async def test_relatives_are_those_of_aiida(
    aiida_world: PsqlDosBackend, world: aiidadb.Backend, relation: str
) -> None:
    from aiida import orm

    # It does not report depths, so these are found along its links.
    query = orm.QueryBuilder(backend=aiida_world).append(orm.Node, tag="above", project="id")
    query.append(orm.Node, with_incoming="above", project="id", edge_project="type")
    graph = Graph({}, tuple((above, below, kind) for above, below, kind in query.all()))
    upwards = relation == "with_descendants"
    ask = world.queries.get_all_parents if upwards else world.queries.get_descendants
    way = {"up": True} if upwards else {"down": True}
    for pk in orm.QueryBuilder(backend=aiida_world).append(orm.Node, project="id").all(flat=True):
        query = orm.QueryBuilder(backend=aiida_world)
        query.append(orm.Node, filters={"id": pk}, tag="start")
        query.append(orm.Node, **{relation: "start"}, project=["id", "uuid"]).distinct()
        theirs = dict(query.all())
        found = await ask([pk], ("id", "uuid", "depth"))
        assert {one: str(uuid) for one, uuid, _ in found} == theirs
        assert len(found) == len(theirs)
        depths = depths_from(graph, {pk}, DATA_PROVENANCE, None, **way)
        assert {one: depth for one, _, depth in found} == depths
        near = await ask([pk], ("depth", "id"), max_depth=2)
        assert near == [(depth, one) for one, depth in sorted(depths.items()) if depth <= 2]


async def test_the_provenance_next_to_a_node_is_that_of_aiida(
    aiida_world: PsqlDosBackend, world: aiidadb.Backend
) -> None:
    from aiida import orm

    for node in orm.QueryBuilder(backend=aiida_world).append(orm.Node).all(flat=True):
        incoming, outgoing = (
            getattr(node.base.links, f"get_{direction}")().all()
            for direction in ("incoming", "outgoing")
        )
        found = await world.queries.get_provenance(node.pk)
        others = {one.node.pk: one.node for one in [*incoming, *outgoing]}
        assert {one.pk for one in found.nodes} == {node.pk, *others}
        for one in found.nodes:
            theirs = others.get(one.pk, node)
            assert (one.uuid, one.node_type, one.label, one.process_type or None) == (
                theirs.uuid, theirs.node_type, theirs.label, theirs.process_type or None
            )  # fmt: skip
        touching = {
            (one.input_id, one.output_id, one.type, one.label)
            for one in found.links
            if node.pk in (one.input_id, one.output_id)
        }
        assert touching == {
            *((one.node.pk, node.pk, one.link_type.value, one.link_label) for one in incoming),
            *((node.pk, one.node.pk, one.link_type.value, one.link_label) for one in outgoing),
        }


# ---------------------------------------------------------------- beside plain Python

SOME_PKS = st.lists(st.integers(-1, 16), max_size=4)
SOME_TYPES = st.none() | st.sets(st.sampled_from(LINK_TYPES))


@pytest.mark.hypothesis
async def test_relatives_and_their_depths_are_what_a_search_in_python_finds(
    backend: aiidadb.Backend,
) -> None:
    await write_users(backend._session)

    async def check(
        graph: Graph, pks: list[int], types: set[str] | None, max_depth: int | None
    ) -> None:
        await write(backend, graph)
        starts = set(pks) & graph.types.keys()
        asks = backend.queries.get_all_parents, backend.queries.get_descendants
        for ask, direction in zip(asks, ({"up": True}, {"down": True}), strict=True):
            depths = sorted(depths_from(graph, starts, types, max_depth, **direction).items())
            options: dict[str, Any] = {"link_types": types, "max_depth": max_depth}
            assert await ask(pks, ("id", "depth"), **options) == depths
            assert await ask(pks, **options) == [(pk,) for pk, _ in depths]
            assert await ask(pks, ["depth", "label", "depth", "pk"], **options) == [
                (depth, "", depth, pk) for pk, depth in depths
            ]

    await each_in_a_transaction(
        backend, check, graphs(), SOME_PKS, SOME_TYPES, st.none() | st.integers(0, 4), count=15
    )


@pytest.mark.hypothesis
async def test_the_provenance_is_what_a_search_in_python_finds(backend: aiidadb.Backend) -> None:
    await write_users(backend._session)

    async def check(
        graph: Graph, pks: list[int], types: set[str] | None, depth: int, limit: int | None
    ) -> None:
        await write(backend, graph)
        options: dict[str, Any] = {} if limit is None else {"limit": limit}
        found = await backend.queries.get_provenance(pks, depth=depth, link_types=types, **options)
        starts = set(pks) & graph.types.keys()
        depths = depths_from(graph, starts, types, depth, up=True, down=True)
        depths |= dict.fromkeys(starts, 0)
        ours = {node.pk: node.depth for node in found.nodes}
        # The nearest, whichever they are at the distance where it ends.
        assert [*ours.values()] == sorted(depths.values())[:limit]
        assert ours.items() <= depths.items()
        assert [*ours] == sorted(ours, key=lambda pk: (ours[pk], pk))
        assert found.truncated == (limit is not None and len(depths) > limit)
        among = [
            link
            for link in graph.links
            if link[0] in ours and link[1] in ours and (types is None or link[2] in types)
        ]
        assert [(one.input_id, one.output_id, one.type) for one in found.links] == among
        again = await backend.queries.get_provenance(pks, depth=depth, link_types=types, **options)
        assert again == found

    await each_in_a_transaction(
        backend,
        check,
        graphs(),
        SOME_PKS,
        SOME_TYPES,
        st.integers(0, 5),
        st.none() | st.integers(1, 8),
        count=15,
    )


@pytest.mark.quick
async def test_a_provenance_graph_shows_nodes_and_links(backend: aiidadb.Backend) -> None:
    session, line = backend._session, backend.version.line  # type: ignore[union-attr]
    await write_users(session)
    job = "aiida.calculations:core.arithmetic.add"
    made = [Node(1, label="x"), Node(2, CALCULATION, process_type=job), Node(3), Node(4)]
    await write_nodes(session, made, line=line)
    await write_links(session, [(1, 2, "input_calc"), (2, 3, "create"), (2, 4, "create")])
    integer = translate_node_type(INT, core_prefix=line == "main")
    links = [row["id"] for row in await session.fetch("select id from db_dblink order by id")]
    ask = backend.queries.get_provenance
    start = ProvenanceNode(1, uuid_of(1), integer, None, "x", 0)
    calculation = ProvenanceNode(2, uuid_of(2), CALCULATION, job, "", 1)
    assert await ask(1) == Provenance(
        [start, calculation], [Link(links[0], 1, 2, "input_calc", "link")], truncated=False
    )
    assert await ask(1, depth=0) == Provenance([start], [], truncated=False)
    far = await ask([1], depth=10**400)
    assert [(node.pk, node.depth) for node in far.nodes] == [(1, 0), (2, 1), (3, 2), (4, 2)]
    assert [link.pk for link in far.links] == links
    cut = await ask(1, depth=2, limit=3)
    assert [node.pk for node in cut.nodes] == [1, 2, 3]
    assert cut.truncated
    several = await ask([4, 1, 99], limit=1)
    assert ([node.pk for node in several.nodes], several.truncated) == ([1], True)
    assert await ask([99, 2**40]) == await ask([]) == Provenance([], [], truncated=False)


@pytest.mark.quick
async def test_a_cycle_is_walked_once(backend: aiidadb.Backend) -> None:
    await write_users(backend._session)
    await write(
        backend, Graph({1: INT, 2: INT}, ((1, 2, "create"), (2, 1, "create"), (1, 1, "create")))
    )
    for ask in (backend.queries.get_all_parents, backend.queries.get_descendants):
        assert await ask(1, ("pk", "depth")) == [(1, 1), (2, 1)]
        assert await ask(2, ("pk", "depth")) == [(1, 1), (2, 2)]
        assert await ask(2, ("pk", "depth"), max_depth=1) == [(1, 1)]
        assert await ask(2, max_depth=0) == []


@pytest.mark.quick
@pytest.mark.parametrize(
    ("question", "options", "kind", "message"),
    [
        ("get_all_parents", {"max_depth": -1}, InvalidInputError, "max_depth.*from 0, not -1"),
        ("get_all_parents", {"max_depth": True}, InvalidTypeError, "max_depth"),
        ("get_descendants", {"max_depth": 1.5}, InvalidTypeError, "max_depth"),
        ("get_descendants", {"return_values": ["deph"]}, InvalidInputError, "mean 'depth'"),
        ("get_descendants", {"return_values": "depth"}, InvalidTypeError, "must be a collection"),
        ("get_descendants", {"return_values": []}, InvalidInputError, "empty"),
        ("get_descendants", {"link_types": ["made"]}, InvalidInputError, "made"),
        ("get_descendants", {"pks": None}, InvalidTypeError, "pks"),
        ("get_provenance", {"depth": -1}, InvalidInputError, "depth must be a whole number"),
        ("get_provenance", {"depth": None}, InvalidTypeError, "depth"),
        ("get_provenance", {"limit": 0}, InvalidInputError, "limit"),
        ("get_provenance", {"link_types": 5}, InvalidTypeError, "link_types"),
    ],
    ids=repr,
)
async def test_what_a_walk_cannot_be_told_is_refused(
    bare_dsn: str, question: str, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    pks = "node_pks" if question == "get_all_parents" else "pks"
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(kind, match=message):
            await getattr(backend.queries, question)(**{pks: [1], **options})


# ---------------------------------------------------------------- how much is read


async def test_walks_probe_the_indexes_of_links_and_go_no_further_than_asked(
    head_dsn: str,
) -> None:
    connection = await asyncpg.connect(head_dsn)
    is_main = await connection.fetchval("select to_regclass('alembic_version') is not null")
    await write_users(connection)
    made = (Node(pk) for pk in range(1, 10_001))
    await write_nodes(connection, made, line="main" if is_main else "django")
    await write_links(connection, ((pk, pk + 1, "create") for pk in range(1, 5_000)))
    await write_links(connection, ((5_001, pk, "create") for pk in range(5_002, 10_001)))
    await connection.execute("vacuum analyze")
    name = "nodes_within"
    whole = await explained(connection, name, "{5000}", ["create"], True, False, None, True, None)
    assert "Seq Scan" not in {way for _, way, _ in whole}
    assert sum(read for table, _, read in whole if table == "db_dblink") < 6_000
    near = await explained(connection, name, "{2500}", None, True, True, 3, False, None)
    assert sum(read for table, _, read in near if table == "db_dblink") < 50
    few = await explained(connection, name, "{5001}", None, False, True, 3, False, 10)
    assert sum(read for table, _, read in few if table == "db_dblink") < 50
    await connection.close()
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(head_dsn)) as backend:
        far = await backend.queries.get_all_parents(5_000, ("id", "depth"))
        assert far == [(pk, 5_000 - pk) for pk in range(1, 5_000)]
        hub = await backend.queries.get_provenance(5_001, depth=7, limit=100)
        assert hub.truncated
        assert (len(hub.nodes), len(hub.links)) == (100, 99)


async def test_of_which_nodes_the_columns_are_is_sent_as_a_text(head_dsn: str) -> None:
    """Many pks in an expression of pypika, or in an array, would hold up the event loop."""
    graph = Graph(dict.fromkeys(range(1, 40), INT), tuple((1, pk, "create") for pk in range(2, 40)))
    sent: list[asyncpg.connection.LoggedQuery] = []
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(head_dsn), max_size=1) as backend:
        await write_users(backend._session)
        await write(backend, graph)
        async with backend.transaction() as connection:
            with connection.query_logger(sent.append):
                found = await backend.queries.get_descendants(
                    1, ("attributes.a", "id", "ctime", "depth")
                )
        assert found == [(None, pk, SOME_TIME, 1) for pk in range(2, 40)]
    texts = [one.args[-1] for one in sent if "ctime" in one.query]
    assert texts == ["{" + ",".join(map(str, range(2, 40))) + "}"]


async def test_a_walk_that_is_cancelled_gives_its_connection_back(
    head_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = aiidadb.Profile.from_dsn(head_dsn)
    async with aiidadb.open_backend(profile, min_size=1, max_size=1) as backend:
        blocker = await asyncpg.connect(head_dsn)
        block = blocker.transaction()
        await block.start()
        await blocker.execute("lock table db_dblink")  # whatever reads links waits
        for ask in (
            backend.queries.get_provenance([1]),
            backend.queries.get_descendants([1]),
            backend.queries.get_links([1], "incoming"),
            backend.queries.get_link_counts([1]),
        ):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await ask
        await block.rollback()
        await blocker.close()
        async with asyncio.timeout(30):
            assert await backend.queries.get_link_counts([1]) == {}
