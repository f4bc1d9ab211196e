"""How the server runs what is compiled: by which indexes, and how many rows it looks at."""

from __future__ import annotations

import datetime
import random
import uuid
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

import aiidadb
from tests.helpers.databases import clone_of_schema
from tests.helpers.graphs import (
    BANDS,
    INT,
    SOME_TIME,
    STRUCTURE,
    Node,
    write_groups,
    write_links,
    write_nodes,
    write_users,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from tests.helpers.databases import Databases

NODES = 10_000


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["django_0045", "main_0002"])
async def filled_dsn(request: pytest.FixtureRequest, databases: Databases) -> str:
    """Nodes, two of ten of one time, and as many links to follow as not to, with statistics."""

    async def build(dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute("set synchronous_commit = off")
        await write_users(connection)
        times = [SOME_TIME + datetime.timedelta(minutes=pk - pk % 10 // 9) for pk in range(NODES)]
        types = {1: STRUCTURE, 2: BANDS}
        nodes = (
            Node(pk, types.get(pk % 50, INT), label=str(pk % 999), ctime=times[pk - 1])
            for pk in range(1, NODES + 1)
        )
        await write_nodes(connection, nodes, line=request.param.partition("_")[0])
        chosen = random.Random(0)
        down = [(chosen.randrange(max(1, pk - 60), pk), pk) for pk in range(2, NODES + 1)]
        links = [(*ends, kind) for ends in down for kind in ("create", "return")]
        await write_links(connection, links)
        members = {f"group {number}": range(number, NODES, 120) for number in range(1, 41)}
        await write_groups(connection, {"few": range(1, 1_000, 50), **members})
        await connection.execute("vacuum analyze")
        await connection.close()

    await clone_of_schema(databases, request.param)
    template = await databases.template(f"plans_{request.param}", build, base=request.param)
    return await databases.create(template)


@pytest_asyncio.fixture
async def filled(filled_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """It, opened."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(filled_dsn)) as backend:
        yield backend


class Plan:
    """How the server ran a statement, as it told.

    Attributes:
        nodes: The steps.
        buffers: How many buffers were looked at.
    """

    def __init__(self, found: list[dict[str, Any]]) -> None:
        top = found[0]["Plan"]
        self.nodes = [*_steps(top)]
        self.buffers = top["Shared Hit Blocks"] + top["Shared Read Blocks"]

    def conditions(self, table: str) -> list[str]:
        """By what condition of an index each scan of a table went; empty: by none."""
        scans = [one for one in self.nodes if one.get("Relation Name") == table]
        # A scan by a bitmap has the condition below it.
        return [
            str(next((one["Index Cond"] for one in _steps(scan) if "Index Cond" in one), ""))
            for scan in scans
        ]


def _steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for one in plan.get("Plans", ()):
        yield from _steps(one)


async def plan_of(backend: aiidadb.Backend, text: str, values: Sequence[object]) -> Plan:
    async with backend.connection() as connection:
        return Plan(
            await connection.fetchval(
                f"explain (analyze, timing off, buffers, format json) {text}", *values
            )
        )


@pytest.mark.parametrize("keyword", ["with_ancestors", "with_descendants"])
@pytest.mark.parametrize("starts", [{"id": 300}, {"id": {"<": 1_000}}, {}], ids=str)
@pytest.mark.parametrize("distinct", [False, True])
async def test_a_walk_probes_the_index_on_links(filled, keyword, starts, distinct):
    query = filled.query().append(STRUCTURE, tag="s", filters=starts, project="id")
    query.append(BANDS, tag="b", project="id", edge_tag="way", **{keyword: "s"}).distinct(distinct)
    query.add_filter("way", {} if distinct else {"depth": {"<": 20}})
    plan = await plan_of(filled, *query.sql())
    near = "input_id" if keyword == "with_ancestors" else "output_id"
    conditions = plan.conditions("db_dblink")
    assert len(conditions) >= 2
    assert all(one.startswith(f"({near} = ") for one in conditions)
    assert not any(one["Node Type"] in {"Merge Join", "Materialize"} for one in plan.nodes)


@pytest.mark.parametrize("keyword", ["with_ancestors", "with_descendants"])
@pytest.mark.parametrize("depth", [{}, {"<": 3}], ids=str)
@pytest.mark.parametrize("distinct", [False, True])
async def test_the_nodes_that_many_ways_lead_to_are_read_together(filled, keyword, depth, distinct):
    query = filled.query().append(STRUCTURE, tag="s", project="id")
    query.append(BANDS, tag="b", project="id", edge_tag="way", **{keyword: "s"}).distinct(distinct)
    query.add_filter("way", {"depth": depth}).add_projection("way", "depth")
    plan = await plan_of(filled, *query.sql())
    (ways,) = [one["Actual Rows"] for one in plan.nodes if one.get("Subplan Name") == "CTE walk1"]
    nodes = [one for one in plan.nodes if one.get("Relation Name") == "db_dbnode"]
    (together,) = [one["Actual Loops"] for one in nodes if one["Alias"].startswith("node")]
    (each,) = [one["Actual Loops"] for one in nodes if one["Alias"].startswith("db_dbnode")]
    if depth:
        assert 0 < ways < 1_000
        assert (together, each) == (0, ways)
    else:
        assert ways > NODES
        assert (together, each) == (1, 0)


async def test_a_walk_begins_with_what_is_in_a_group_alone(filled):
    query = filled.query().append("group.core", tag="g", filters={"label": "few"})
    query.append(STRUCTURE, tag="s", with_group="g", project="id")
    query.append(BANDS, with_ancestors="s", project="id").distinct()
    plan = await plan_of(filled, *query.sql())
    assert plan.conditions("db_dbgroup_dbnodes")[0].startswith("(dbgroup_id = ")
    (starts,) = [one for one in plan.nodes if one.get("Subplan Name") == "CTE starts1"]
    assert starts["Actual Rows"] == 20
    assert all(one.startswith("(input_id = ") for one in plan.conditions("db_dblink"))


@pytest.mark.parametrize("keyword", ["with_ancestors", "with_descendants"])
@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize(
    ("filters", "starts"), [({"id": {"in": [2, 9_952]}}, 2), ({"label": "2"}, 1)], ids=str
)
async def test_a_walk_begins_at_the_end_of_which_certain_nodes_are_asked_for(
    filled, keyword, distinct, filters, starts
):
    near, far = ("input_id", "output_id")[:: 1 if keyword == "with_descendants" else -1]
    query = filled.query().append(STRUCTURE, tag="s", project="id")
    query.append(BANDS, tag="b", filters=filters, edge_tag="way", **{keyword: "s"})
    query.add_projection("b", "id").distinct(distinct).add_filter("way", {"depth": {"<": 90}})
    query.add_projection("way", ["ancestor_id", "descendant_id", "depth"])
    plan = await plan_of(filled, *query.sql())
    (found,) = [one for one in plan.nodes if one.get("Subplan Name") == "CTE starts1"]
    assert found["Actual Rows"] == starts
    assert all(one.startswith(f"({near} = ") for one in plan.conditions("db_dblink"))
    # Where the path is asked for as well, it is walked from the structures.
    as_written = filled.query(query.as_dict())
    as_written.add_projection("way", ["ancestor_id", "descendant_id", "depth", "path"])
    plan = await plan_of(filled, *as_written.sql())
    assert all(one.startswith(f"({far} = ") for one in plan.conditions("db_dblink"))
    rows = [row[:-1] for row in await as_written.all()]
    if distinct:
        rows = [list(row) for row in {tuple(row) for row in rows}]
    assert rows or starts == 1
    assert sorted(await query.all()) == sorted(rows)
    assert await query.count() == len(rows)
    assert sorted((await query.page(10_000)).rows) == sorted(rows)


@pytest.mark.parametrize(
    ("how", "near"),
    [("and", "output_id"), ("or", "input_id"), ("!and", "input_id"), ("!or", "input_id")],
)
async def test_a_combination_asks_for_certain_nodes_if_each_of_its_parts_holds(filled, how, near):
    query = filled.query().append(STRUCTURE, tag="s", project="id")
    parts = [{"ctime": {">": "2024-01-01"}}, {"and": [{"label": "952"}]}]
    query.append(BANDS, with_ancestors="s", filters={how: parts}).distinct()
    plan = await plan_of(filled, *query.sql())
    assert all(one.startswith(f"({near} = ") for one in plan.conditions("db_dblink"))
    assert len(await query.all()) == await query.count()


async def test_what_is_joined_to_a_turned_walk_stays_joined(filled):
    query = filled.query().append(
        BANDS, tag="b", project="id", filters={"extras": {"of_type": "object"}}
    )
    query.append("user", tag="u", with_node="b", project="email")
    query.append(STRUCTURE, tag="s", with_descendants="b", project="id")
    query.append("group.core", tag="g", with_node="s", filters={"label": "few"}, project="label")
    query.distinct()
    plan = await plan_of(filled, *query.sql())
    assert all(one.startswith("(input_id = ") for one in plan.conditions("db_dblink"))
    other = filled.query().append("group.core", tag="g", filters={"label": "few"})
    other.append(STRUCTURE, tag="s", with_group="g")
    other.append(BANDS, tag="b", with_ancestors="s", project="id")
    other.append("user", tag="u", with_node="b", project="email").distinct()
    other.add_projection("s", "id").add_projection("g", "label")
    expected = [[bands, email, pk, label] for label, pk, bands, email in await other.all()]
    assert expected
    assert sorted(await query.all()) == sorted(expected)


@pytest.mark.parametrize("order", [{}, {"n": {"id": "desc"}}], ids=["any", "ordered"])
async def test_a_few_of_what_a_walk_leads_to_cost_no_more_than_all(filled, order):
    query = filled.query().append(BANDS, tag="b", filters={"id": 402})
    query.append("", tag="n", with_descendants="b", project=["id", "node_type"]).distinct()
    query.order_by(order)
    every, whole = await query.all(), await plan_of(filled, *query.sql())
    few = query.limit(5).offset(2)
    plan = await plan_of(filled, *few.sql())
    assert plan.buffers <= whole.buffers + 20
    # They are taken from all, which are found by themselves and not with a few in view.
    assert [one["CTE Name"] for one in plan.nodes if "CTE Name" in one][-1] == "asked"
    rows = await few.all()
    assert len(rows) == 5
    assert rows == every[2:7] if order else all(row in every for row in rows)
    assert await few.count() == 5


SOME_UUID = "00000000-0000-4000-8000-000000000042"


@pytest.mark.parametrize(
    ("filters", "condition"),
    [
        ({"id": 66}, "(id = "),
        ({"id": "66"}, "(id = "),
        ({"id": {"in": [66, 67]}}, "(id = ANY "),
        ({"pk": {"in": [*range(1, 200)]}}, "(id = ANY "),
        ({"uuid": SOME_UUID}, "(uuid = "),
        ({"uuid": uuid.UUID(SOME_UUID)}, "(uuid = "),
        ({"uuid": {"in": [SOME_UUID, SOME_UUID.upper()]}}, "(uuid = ANY "),
        ({"uuid": {"like": "00000000-0000-4000-8000-00000000004%"}}, "((uuid >= "),
        ({"label": "66"}, "((label)::text = "),
        ({"ctime": {">": "2024-05-23"}}, "(ctime > "),
    ],
    ids=str,
)
async def test_a_node_is_found_by_an_index(filled, filters, condition):
    query = filled.query().append("", filters=filters, project=["uuid", "label"])
    plan = await plan_of(filled, *query.sql())
    (found,) = plan.conditions("db_dbnode")
    assert found.startswith(condition)
    assert await query.count() > 0


async def test_what_is_next_to_a_node_is_found_by_indexes(filled):
    query = filled.query().append("", tag="n", filters={"id": 301})
    query.append("", tag="m", with_incoming="n", project="id", edge_project="label")
    query.append("group.core", with_node="m", project="label")
    plan = await plan_of(filled, *query.sql())
    assert plan.conditions("db_dblink")[0].startswith("(input_id = ")
    assert plan.conditions("db_dbgroup_dbnodes")[0].startswith("(dbnode_id = ")
    assert all(plan.conditions("db_dbnode"))


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("field", ["id", "ctime"])
async def test_a_deep_page_looks_at_hardly_more_than_the_first(filled, field, order):
    query = filled.query().append("", tag="n", project=["id", "uuid", "ctime"])
    query.order_by({"n": {field: order}})
    whole = await query.page(7_500)
    deep = await query.page(20, after=whole.next)
    in_order = filled.query(query.as_dict()).order_by({"n": [{field: order}, {"id": order}]})
    assert [*whole.rows, *deep.rows] == (await in_order.all())[:7_520]
    plans = []
    for after in (None, whole.next):
        sent: list[asyncpg.connection.LoggedQuery] = []
        async with filled.transaction() as connection:
            with connection.query_logger(sent.append):
                await query.page(20, after=after)
        plans.append(await plan_of(filled, sent[-1].query, sent[-1].args))
    assert plans[1].buffers <= plans[0].buffers + 20
    assert field in plans[1].conditions("db_dbnode")[0]


@pytest.mark.parametrize(
    ("filters", "number"),
    [
        ({"id": 301}, 1),
        ({"uuid": SOME_UUID}, 1),
        ({"id": {"<": 9}}, 0),
        ({"label": "9"}, 0),
        ({}, 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("keyword", ["with_descendants", "with_incoming"])
async def test_a_join_is_planned_for_its_values_unless_it_begins_with_one_node(
    filled, filters, number, keyword
):
    query = filled.query().append("", tag="n", filters=filters)
    query.append("", project="id", **{keyword: "n"}).distinct()
    async with filled.transaction() as connection:
        for _ in range(2):
            await query.all()
        kept = "select statement from pg_prepared_statements"
        statements = [row["statement"] for row in await connection.fetch(kept)]
    assert len([one for one in statements if one == query.sql()[0]]) == number


async def test_some_rows_of_what_no_index_serves_are_planned_for_the_values(filled):
    query = filled.query().append("", tag="n", project="id", filters={"attributes.some": "x"})
    query.order_by({"n": "id"})
    async with filled.transaction() as connection:
        await query.all()
        for _ in range(2):
            await query.limit(3).all()
            await query.offset(3).all()
            await query.page(3)
        kept = "select statement from pg_prepared_statements"
        statements = [row["statement"] for row in await connection.fetch(kept)]
    assert not [one for one in statements if "limit" in one or "offset" in one]
    assert len([one for one in statements if "@>" in one]) == 1


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, range(NODES // 20)), (9, range(NODES // 3, NODES))], ids=str
)
@pytest.mark.parametrize("items", [["x", "y"], [1, 2]], ids=str)
async def test_a_list_of_values_in_json_is_taken_to_select_little_unless_few_rows_are_wanted(
    filled, limit, expected, items
):
    query = filled.query().append("", tag="n", filters={"attributes.some": {"in": items}})
    query.append("user", with_node="n", project="id").limit(limit)
    plan = await plan_of(filled, *query.sql())
    (scan,) = [one for one in plan.nodes if one.get("Relation Name") == "db_dbnode"]
    assert scan["Plan Rows"] in expected


@pytest.mark.parametrize("limit", [1, 10_000])
async def test_what_no_index_serves_is_read_once_for_rows_and_their_number(filled, limit):
    filters = {"attributes.some": {"!in": ["x", "y"]}}
    query = filled.query().append("", tag="n", filters=filters, project=["uuid", "attributes.some"])
    query.order_by({"n": "label"}).limit(limit)
    sent: list[asyncpg.connection.LoggedQuery] = []
    async with filled.transaction() as connection:
        with connection.query_logger(sent.append):
            rows, number = await query.all_and_count()
    assert (len(rows), number) == (limit, NODES)
    (only,) = sent
    plan = await plan_of(filled, only.query, only.args)
    scans = [one for one in plan.nodes if one.get("Relation Name") == "db_dbnode"]
    (whole,) = [one for one in scans if "Filter" in one]
    assert whole["Actual Loops"] == 1
