"""Walks to ancestors and descendants: which ways there are, and how many links are looked at."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
import pytest_asyncio

import aiidadb
from aiidadb.querybuilder.compiling.depth import bound_of_depth
from aiidadb.querybuilder.compiling.parameters import Parameters
from aiidadb.querybuilder.compiling.recursion import WalkNames, write_walk
from aiidadb.querybuilder.draft import Draft
from aiidadb.querybuilder.relations import Walk, relation_of
from aiidadb.querybuilder.shape import shape_of
from tests.helpers.graphs import (
    CALCULATION,
    STRUCTURE,
    Link,
    Node,
    each_in_a_transaction,
    write_groups,
    write_links,
    write_nodes,
    write_users,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

DOWN, UP = "with_ancestors", "with_descendants"


@pytest_asyncio.fixture
async def empty(main_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """A database with a user."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        await write_users(backend._session)
        yield backend


def chain(length: int, first: int = 1) -> list[Link]:
    """So many links one after the other."""
    kinds = itertools.cycle(("input_calc", "create"))
    return [(pk, pk + 1, next(kinds)) for pk in range(first, first + length)]


def ladder(diamonds: int) -> list[Link]:
    """So many diamonds one below the other, so that there are 2**diamonds ways down."""
    found: list[Link] = []
    for top in range(1, 3 * diamonds, 3):
        found += [(top, top + side, "input_calc") for side in (1, 2)]
        found += [(top + side, top + 3, "create") for side in (1, 2)]
    return found


async def write(target: Any, links: list[Link]) -> None:
    pks = sorted({pk for link in links for pk in link[:2]} | {1})
    await write_nodes(
        target, [Node(pk, STRUCTURE if pk % 2 else CALCULATION) for pk in pks], line="main"
    )
    await write_links(target, links)


def descendants(backend: aiidadb.Backend, start: int = 1, **edge: Any) -> aiidadb.QueryBuilder:
    query = backend.query().append("", tag="a", filters={"id": start})
    return query.append("", tag="b", with_ancestors="a", project="id", edge_tag="way", **edge)


async def probes(backend: aiidadb.Backend, query: aiidadb.QueryBuilder) -> int:
    """For how many nodes a query looks for links."""
    text, values = query.sql()
    async with backend.connection() as connection:
        plan = await connection.fetchval(
            f"explain (analyze, timing off, format json) {text}", *values
        )
    return sum(
        int(node["Actual Loops"])
        for node in _nodes(plan[0]["Plan"])
        if node.get("Relation Name") == "db_dblink"
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for one in plan.get("Plans", ()):
        yield from _nodes(one)


# ---------------------------------------------------------------- which ways there are


def ways_from(start: int, links: list[Link]) -> Iterator[tuple[int, ...]]:
    """The nodes on each way that goes over no link twice, found one by one."""
    waiting: list[tuple[tuple[int, ...], frozenset[int]]] = [((start,), frozenset())]
    while waiting:
        path, used = waiting.pop()
        for number, (parent, child, _) in enumerate(links):
            if parent == path[-1] and number not in used:
                waiting.append(((*path, child), used | {number}))
                yield *path, child


@st.composite
def knots(draw: st.DrawFn) -> list[Link]:
    """A chain, which may be long, to a few nodes with any links among them."""
    length = draw(st.sampled_from((0, 3, 31, 32, 34)))
    ends = st.integers(length + 1, length + 4)
    some = draw(st.lists(st.tuples(ends, ends), min_size=1, max_size=6))
    return [*chain(length), *((parent, child, "create") for parent, child in some)]


@pytest.mark.hypothesis
async def test_there_is_a_row_for_each_way_that_goes_over_no_link_twice(empty):
    async def body(links: list[Link]) -> None:
        await write(empty._session, links)
        ways = [(path[-1], len(path) - 2, list(path)) for path in ways_from(1, links)]
        every = ["depth", "path"]
        rows = await descendants(empty, edge_project=every).all()
        assert sorted(map(tuple, rows)) == sorted(ways)
        assert Counter(await descendants(empty).all(flat=True)) == Counter(way[0] for way in ways)
        assert await descendants(empty).count() == len(ways)
        assert await descendants(empty, edge_project=every).distinct().count() == len(
            set(map(repr, ways))
        )
        rows = await descendants(empty, edge_project="depth").distinct().all()
        assert sorted(map(tuple, rows)) == sorted({way[:2] for way in ways})
        found = await descendants(empty).distinct().all(flat=True)
        assert sorted(found) == sorted({way[0] for way in ways})
        short = [way for way in ways if way[1] < 33]
        rows = await descendants(empty, edge_filters={"depth": {"<": 33}}).all(flat=True)
        assert Counter(rows) == Counter(way[0] for way in short)
        rows = await descendants(
            empty, edge_filters={"depth": {"<": 3}}, edge_project="depth"
        ).distinct().all()  # fmt: skip
        assert sorted(map(tuple, rows)) == sorted({way[:2] for way in ways if way[1] < 3})
        page = await descendants(empty).page(5)
        found = [*page.rows]
        while page.next:
            page = await descendants(empty).page(5, after=page.next)
            found += page.rows
        assert Counter(row[0] for row in found) == Counter(way[0] for way in ways)

    await each_in_a_transaction(empty, body, knots(), count=12)


async def test_walks_begin_where_joins_filters_and_other_walks_say(empty):
    session = empty._session
    await write(session, [*chain(3), *chain(3, 11), *chain(3, 21)])
    await write_groups(session, {"one": [1, 11], "two": [11]})
    query = empty.query().append("group.core", tag="g", filters={"label": "one"}, project="label")
    query.append(STRUCTURE, tag="s", with_group="g", project="id")
    query.append(STRUCTURE, tag="d", with_ancestors="s", project="id")
    assert sorted(await query.all()) == [["one", 1, 3], ["one", 11, 13]]
    assert sorted(await query.distinct().all()) == [["one", 1, 3], ["one", 11, 13]]
    # Up again from there, and the groups of what is found, where there are any.
    query.append("", tag="u", with_descendants="d", project="id", filters={"id": {"in": [1, 12]}})
    query.append("group.core", tag="h", with_node="s", filters={"label": "two"}, project="label")
    assert sorted(await query.all()) == [["one", 11, 13, 12, "two"]]
    outer = empty.query().append("", tag="s", filters={"id": {"in": [1, 4]}}, project="id")
    outer.append("", tag="d", with_ancestors="s", project="id", outerjoin=True)
    outer.append("computer", with_node="d", outerjoin=True, project="label")
    assert sorted(await outer.all()) == [[1, 2, None], [1, 3, None], [1, 4, None]]


# ---------------------------------------------------------------- how many links are looked at


@pytest.mark.parametrize("length", [200, 400])
async def test_a_chain_is_gone_along_once_and_its_ways_carry_few_links(empty, length):
    await write(empty._session, chain(length))
    assert await probes(empty, descendants(empty).distinct()) == length + 1
    # Once for the ways, and twice to see that there is no cycle.
    assert await probes(empty, descendants(empty)) == 3 * (length + 1)
    relation = relation_of("node", DOWN, "node")
    assert isinstance(relation, Walk)
    tables = ",\n".join(write_walk(relation, WalkNames(1, rows="ways")))
    async with empty.connection() as connection:
        longest, number = await connection.fetchrow(
            f"with recursive starts1 (id) as (select 1), {tables} "
            "select max(cardinality(links)), count(*) from walk1"
        )
    assert (longest, number) == (32, length)


@pytest.mark.parametrize("diamonds", [50, 100])
async def test_a_ladder_is_gone_down_once_where_rows_are_distinct(empty, diamonds):
    await write(empty._session, ladder(diamonds))
    nodes = 3 * diamonds + 1
    assert await probes(empty, descendants(empty).distinct()) == nodes
    query = descendants(empty, edge_project="depth").distinct()
    assert await probes(empty, query) == 3 * nodes
    up = empty.query().append("", tag="a", filters={"id": nodes})
    up.append("", tag="b", with_descendants="a", project="id").distinct()
    assert await probes(empty, up) == nodes
    assert sorted(await up.all(flat=True)) == list(range(1, nodes))


@pytest.mark.parametrize("length", [200, 400])
async def test_where_walks_begin_costs_nothing_if_it_is_not_asked_for(empty, length):
    await write(empty._session, chain(length))
    await write_groups(empty._session, {"all": range(1, length + 2), "top": [1], "end": [length]})
    ends = empty.query().append("", tag="s").append("", with_ancestors="s", project="id").distinct()
    assert await probes(empty, ends) <= 2 * length + 2
    assert sorted(await ends.all(flat=True)) == [*range(2, length + 2)]
    # Once for each group, though each of its nodes begins a walk to all below it.
    query = empty.query().append("group.core", tag="g", project=["label", "time"])
    query.append("", tag="s", with_group="g").append("", tag="n", with_ancestors="s", project="id")
    query.append("user", with_node="n", project="email").distinct()
    assert await probes(empty, query) <= 4 * length + 8
    rows = Counter(row[0] for row in await query.all())
    assert rows == {"all": length, "top": length, "end": 1}
    assert await query.count() == 2 * length + 1
    page = await query.order_by({"g": "label"}).page(length)
    assert {row[0] for row in page.rows} == {"all"}
    assert {row[0] for row in (await query.page(2, after=page.next)).rows} == {"end", "top"}
    query.append("", with_descendants="n", project="label")
    assert await query.count() == 2 * length + 1


async def test_a_way_ends_where_its_depth_cannot_pass(empty):
    await write(empty._session, ladder(60))
    for depth in ({"<": 4}, {"<=": 3}, {"in": [1, 3]}, 3, {"!>": 3}, {"and": [{"<": 9}, {"<": 4}]}):
        for distinct in (False, True):
            query = descendants(empty, edge_filters={"depth": depth}, edge_project="depth")
            assert await probes(empty, query.distinct(distinct)) == 1 + 2 + 2 + 4
    nested = {"or": [{"and": [{"depth": {"<": 3}}]}, {"depth": {"==": 3}, "path": {"!==": [1]}}]}
    query = descendants(empty, edge_filters=nested)
    assert await probes(empty, query) == 1 + 2 + 2 + 4
    assert await query.count() == 2 + 2 + 4 + 4


async def test_what_is_read_no_further_is_looked_for_no_further(empty):
    await write(empty._session, ladder(60))
    query = descendants(empty)
    assert await probes(empty, query.limit(20)) < 30
    assert len(await query.all()) == 20
    assert await query.first() == [2]
    async for row in query.limit(None).iterall(10):
        assert row == [2]
        break
    # Nor where several nodes may be what walks begin at.
    query = empty.query().append("", tag="a", filters={"id": {"<": 2}})
    query.append("", with_ancestors="a", project="id")
    assert await probes(empty, query.limit(20)) < 30
    assert await query.first() == [2]
    assert await query.limit(20).count() == 20
    async for row in query.limit(None).iterall(10):
        assert row == [2]
        break
    few = empty.query(query.as_dict(), max_rows=9)
    with pytest.raises(aiidadb.ResourceError, match="more than 9 rows"):
        await few.all()
    # Nor do joins to what is found, or to where walks begin, wait for the last of 2**60 ways.
    await write_groups(empty._session, {"all": range(1, 182), "odd": range(1, 182, 2)})
    query = empty.query().append("group.core", tag="g", project="label")
    query.append("", tag="s", with_group="g", project=["id", "*"], filters={"id": 1})
    query.append("", tag="n", with_ancestors="s", project="id")
    query.append("", tag="o", with_incoming="n", project="id")
    query.append("group.core", with_node="o", outerjoin=True, project="label")
    query.append("user", with_node="n", project="email").limit(9)
    assert len(await query.all()) == 9


@pytest.mark.parametrize("keyword", [DOWN, UP])
async def test_many_ways_lead_to_the_same_nodes_as_few(empty, keyword):
    await write(empty._session, [*ladder(6), *chain(20, 19)])
    await write_groups(empty._session, {"low": range(1, 39)})
    query = empty.query().append("group.core", tag="g", filters={"label": "low"}, project="label")
    query.append("", tag="a", with_group="g", project="id")
    query.append("", tag="b", edge_tag="way", project=["id", "node_type"], **{keyword: "a"})
    query.append("group.core", tag="h", with_node="b", filters={"label": "low"})
    parts = [
        {},
        {"edge": ["depth"]},
        {"edge": ["depth", "path"]},
        {"edge": ["descendant_id"], "type": STRUCTURE},
        {"edge": ["depth"], "further": DOWN},
        {"edge": ["depth"], "further": UP},
    ]
    for part in parts:
        one = empty.query(query.as_dict()).add_projection("way", part.get("edge", []))
        if "type" in part:
            one.add_filter("b", {"node_type": part["type"]})
        if "further" in part:
            one.append("", edge_filters={"depth": {"<": 2}}, project="id", **{part["further"]: "b"})
        assert "many1" in one.sql()[0]
        # Read some at a time, no way is counted beforehand.
        found = Counter(map(repr, [row async for row in one.iterall(10)]))
        assert found.total() > 1_000
        assert Counter(map(repr, await one.all())) == found
        assert await one.count() == found.total()
        assert set(map(repr, await one.distinct().all())) == set(found)


BOUNDS = [
    ({"depth": {"<": 6}}, "d < $1::bigint"),
    ({"depth": {"<=": 6, ">": 2}}, "d <= $1::bigint"),
    ({"depth": 6}, "d <= $1::bigint"),
    ({"depth": {"==": "6"}}, "d <= $1::bigint"),
    ({"depth": {"<": 2.5}}, "d < $1::float8"),
    ({"depth": {"in": [1, 5]}}, "d <= any($1::int[])"),
    ({"depth": {"!>": 6}}, "d <= $1::bigint"),
    ({"depth": {"~>=": 6}}, "d < $1::bigint"),
    ({"depth": {"and": [{"<": 9}, {">": 1}]}}, "d < $1::bigint"),
    ({"depth": {"or": [{"<": 9}, {"==": 1}]}}, "(d < $1::bigint or d <= $2::bigint)"),
    ({"depth": {"or": [{}, {"==": 1}]}}, "d <= $1::bigint"),
    ({"and": [{"depth": 9}, {"descendant_id": 1}]}, "d <= $1::bigint"),
    ({"or": [{"depth": 9, "ancestor_id": 1}, {}]}, "d <= $1::bigint"),
    ({"and": [{"or": [{"depth": 1}]}], "depth": {"<": 1}}, "d <= $1::bigint and d < $1::bigint"),
    ({}, ""),
    ({"depth": {}}, ""),
    ({"depth": {">": 6}}, ""),
    ({"depth": {"!==": 6}}, ""),
    ({"depth": {"!in": [6]}}, ""),
    ({"depth": {"like": "1%"}}, ""),
    ({"depth": {"or": [{"<": 9}, {">": 20}]}}, ""),
    ({"depth": {"!or": [{"<": 9}]}}, ""),
    ({"or": [{"depth": 9}, {"ancestor_id": 1}]}, ""),
    ({"!and": [{"depth": 9}]}, ""),
    ({"ancestor_id": 9}, ""),
]


@pytest.mark.parametrize(("filters", "bound"), BOUNDS, ids=str)
def test_the_greatest_depth_that_can_pass_is_a_bound(filters, bound):
    draft = Draft()
    draft.append("", tag="a")
    draft.append("", tag="b", with_ancestors="a", edge_tag="way", edge_filters=filters)
    shape = shape_of(draft.query)
    found = bound_of_depth(dict(shape.filters)["way"], "d", Parameters(len(shape.values)))
    assert found == bound
