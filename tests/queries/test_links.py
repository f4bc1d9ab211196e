"""The links of nodes and their numbers: as aiida-core has them, and without reading too many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import asyncpg
import hypothesis.strategies as st
import pytest

import aiidadb
from aiidadb import LinkCounts, NodeLink
from aiidadb.criteria.node_types import translate_node_type
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.sql import QUERIES
from tests.helpers.graphs import (
    INT,
    LINK_TYPES,
    STRUCTURE,
    Graph,
    Node,
    each_in_a_transaction,
    graphs,
    write_graph,
    write_links,
    write_nodes,
    write_users,
)

if TYPE_CHECKING:
    from aiida.storage.psql_dos.backend import PsqlDosBackend

DIRECTIONS = ("incoming", "outgoing")


def uuid_of(pk: int) -> str:
    return f"00000000-0000-4000-8000-{pk:012x}"


def links_in(graph: Graph, pk: int, direction: str) -> list[tuple[int, str]]:
    """Other end and type of each link of a node, in the order in which they were stored."""
    here, other = (1, 0) if direction == "incoming" else (0, 1)
    return [(link[other], link[2]) for link in graph.links if link[here] == pk]


def brief(links: list[NodeLink]) -> list[tuple[int, str]]:
    return [(link.pk, link.type) for link in links]


# ---------------------------------------------------------------- beside aiida-core


async def test_links_and_counts_are_those_of_aiida(
    aiida_world: PsqlDosBackend, world: aiidadb.Backend
) -> None:
    from aiida import orm

    nodes = orm.QueryBuilder(backend=aiida_world).append(orm.Node).all(flat=True)
    pks = [node.pk for node in nodes]
    counts = await world.queries.get_link_counts(pks)
    for direction in DIRECTIONS:
        ours = await world.queries.get_links(pks, direction)
        assert ours.keys() == set(pks) == counts.keys()
        for node in nodes:
            triples = getattr(node.base.links, f"get_{direction}")().all()
            theirs = sorted(
                (
                    triple.link_type.value, triple.link_label, triple.node.pk, triple.node.uuid,
                    triple.node.node_type, triple.node.label,
                )
                for triple in triples
            )  # fmt: skip
            assert theirs == sorted(
                (one.type, one.label, one.pk, one.uuid, one.node_type, one.node_label)
                for one in ours[node.pk]
            )
            by_type = Counter(triple.link_type.value for triple in triples)
            assert getattr(counts[node.pk], direction) == by_type


# ---------------------------------------------------------------- beside plain Python


@pytest.mark.hypothesis
async def test_links_and_counts_are_what_a_search_in_python_finds(
    backend: aiidadb.Backend,
) -> None:
    await write_users(backend._session)

    async def check(
        graph: Graph, pks: list[int], types: set[str] | None, limit: int | None
    ) -> None:
        await write_graph(backend._session, graph, line=backend.version.line)  # type: ignore[union-attr]
        there = set(pks) & graph.types.keys()
        for direction in DIRECTIONS:
            found = await backend.queries.get_links(
                pks,
                direction,  # type: ignore[arg-type]
                link_types=types,
                limit=limit,
            )
            assert {pk: brief(links) for pk, links in found.items()} == {
                pk: [
                    (other, kind)
                    for other, kind in links_in(graph, pk, direction)
                    if types is None or kind in types
                ][:limit]
                for pk in there
            }
        assert await backend.queries.get_link_counts(pks) == {
            pk: LinkCounts(
                *(Counter(kind for _, kind in links_in(graph, pk, one)) for one in DIRECTIONS)
            )
            for pk in there
        }

    await each_in_a_transaction(
        backend,
        check,
        graphs(),
        st.lists(st.integers(-1, 16), max_size=6),
        st.none() | st.sets(st.sampled_from(LINK_TYPES)),
        st.none() | st.integers(1, 4),
        count=15,
    )


@pytest.mark.quick
async def test_a_link_shows_the_node_at_its_other_end(backend: aiidadb.Backend) -> None:
    session, line = backend._session, backend.version.line  # type: ignore[union-attr]
    await write_users(session)
    await write_nodes(session, [Node(1, STRUCTURE, label="silicon"), Node(2), Node(3)], line=line)
    await write_links(session, [(1, 2, "input_calc"), (2, 2, "return"), (1, 2, "input_work")])
    structure = translate_node_type(STRUCTURE, core_prefix=line == "main")
    integer = translate_node_type(INT, core_prefix=line == "main")
    ask = backend.queries.get_links
    of_silicon = (uuid_of(1), structure, "silicon")
    itself = NodeLink("return", "link", 2, uuid_of(2), integer, "")
    assert await ask([2, 3, 99], "incoming") == {
        2: [
            NodeLink("input_calc", "link", 1, *of_silicon),
            itself,
            NodeLink("input_work", "link", 1, *of_silicon),
        ],
        3: [],
    }
    assert await ask(2, "outgoing") == {2: [itself]}
    assert await ask(2, "incoming", link_types=["create"]) == {2: []}
    assert await ask(2, "incoming", link_types=()) == {2: []}
    assert await ask([], "incoming") == await ask([99, 2**40, -1], "incoming") == {}
    assert await backend.queries.get_link_counts([3, 2]) == {
        2: LinkCounts({"input_calc": 1, "input_work": 1, "return": 1}, {"return": 1}),
        3: LinkCounts({}, {}),
    }
    assert await backend.queries.get_link_counts(99) == {}


@pytest.mark.quick
@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"direction": "incomming"}, InvalidInputError, "'incomming'.*did you mean 'incoming'"),
        ({"direction": None}, InvalidTypeError, "'incoming' or 'outgoing', not None"),
        ({"limit": 0}, InvalidInputError, "limit must be a positive integer"),
        ({"limit": 1.0}, InvalidTypeError, "limit"),
        ({"link_types": ["made"]}, InvalidInputError, "no link type 'made'.*call_calc"),
        ({"link_types": "create"}, InvalidTypeError, "must be a collection"),
        ({"pks": ["1"]}, InvalidTypeError, "pk"),
    ],
    ids=repr,
)
async def test_what_no_links_can_be_given_for_is_refused(
    bare_dsn: str, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(kind, match=message):
            await backend.queries.get_links(**{"pks": [1], "direction": "incoming", **options})


# ---------------------------------------------------------------- how much is read


def scans(plan: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Of each scan of a table or CTE in a plan: its name, the way, and about the rows it read.

    The server reports the rows of a loop, rounded.
    """
    found = []
    if name := plan.get("Relation Name") or plan.get("CTE Name"):
        read = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        found.append((name, plan["Node Type"], read * plan["Actual Loops"]))
    for one in plan.get("Plans", ()):
        found += scans(one)
    return found


async def explained(
    connection: asyncpg.Connection, name: str, *values: object
) -> list[tuple[str, str, int]]:
    """The scans of a question that is planned for any values, as after some calls."""
    await connection.execute("set plan_cache_mode = force_generic_plan")
    statement = await connection.prepare(QUERIES[name].text)
    plan = await statement.explain(*values, analyze=True)
    return scans(plan[0]["Plan"])


async def test_of_a_node_with_very_many_links_no_more_are_read_than_asked_for(
    head_dsn: str,
) -> None:
    connection = await asyncpg.connect(head_dsn)
    is_main = await connection.fetchval("select to_regclass('alembic_version') is not null")
    await write_users(connection)
    made = (Node(pk) for pk in range(1, 10_001))
    await write_nodes(connection, made, line="main" if is_main else "django")
    await write_links(connection, ((1, pk, "input_calc") for pk in range(2, 5_001)))
    await write_links(connection, ((pk - 5_000, pk, "create") for pk in range(5_001, 10_001)))
    await connection.execute("vacuum analyze")
    for types in (None, ["input_calc"]):
        found = await explained(connection, "links_of_nodes", "{1,2}", False, types, 10)
        assert "Seq Scan" not in {way for _, way, _ in found}
        assert sum(read for _, _, read in found) < 100
    # Sorted once, before the other nodes are looked up.
    plan = "explain (costs off) " + QUERIES["links_of_nodes"].text
    lines = [line for (line,) in await connection.fetch(plan, "{1,2}", False, None, None)]
    assert sum("Sort Key" in line for line in lines) == 1
    assert "Sort Key" not in lines[1]
    counted = await explained(connection, "link_counts", "{2,3,4}")
    assert "Seq Scan" not in {way for _, way, _ in counted}
    assert sum(read for _, _, read in counted) < 100
    among = await explained(connection, "links_among", "{1,2,3}", None)
    assert ("db_dblink", "Seq Scan") not in {(table, way) for table, way, _ in among}
    assert sum(read for table, _, read in among if table == "db_dblink") < 100
    # Not all nodes for each link.
    many = "{" + ",".join(map(str, range(1, 1_001))) + "}"
    among = await explained(connection, "links_among", many, None)
    assert sum(read for name, _, read in among if name == "node") <= 2 * 1_000
    await connection.close()
