"""The same dictionary on databases of AiiDA 1.x and 2.x, and dictionaries of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.helpers.graphs import BANDS, STRUCTURE, Node, write_links, write_nodes, write_users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiidadb

CALCULATION = "process.calculation.calcjob.CalcJobNode."
COMPUTER = """
    insert into db_dbcomputer
        (uuid, {name}, hostname, description, transport_type, scheduler_type, metadata)
    values (gen_random_uuid(), 'daint', 'daint.cscs.ch', '', $1, 'direct', '{{"cores": 5}}')
"""


@pytest_asyncio.fixture
async def graph(backend: aiidadb.Backend) -> AsyncIterator[aiidadb.Backend]:
    """A structure, a calculation, bands; and a computer."""
    session, version = backend._session, backend.version
    assert version is not None
    await write_users(session, "ada@epfl.ch")
    made = [
        Node(1, STRUCTURE, label="silicon", attributes={"kinds": [{"name": "Si"}]}),
        Node(2, CALCULATION, process_type="aiida.calculations:core.arithmetic.add"),
        Node(3, BANDS),
    ]
    await write_nodes(session, made, line=version.line)
    await write_links(session, [(1, 2, "input_calc"), (2, 3, "create")])
    name = "label" if version.has_computer_labels else "name"
    await session.execute(COMPUTER.format(name=name), "core.local" if name == "label" else "local")
    yield backend


@pytest.mark.parametrize("spelled", [STRUCTURE, "data.structure.StructureData."])
async def test_a_type_of_nodes_is_found_however_it_is_spelled(graph, spelled):
    query = graph.query().append(spelled, tag="s", project="id")
    assert await query.all() == [[1]]
    for filters in (
        {"==": spelled},
        {"in": [spelled]},
        {"or": [{"like": f"{spelled[:-14]}%"}, {"==": "none"}]},
    ):
        asked = graph.query().append("", project="id", filters={"node_type": filters})
        assert await asked.all() == [[1]]
    nested = {"or": [{"node_type": {"!!in": [spelled]}}, {"node_type": spelled}]}
    assert await graph.query().append("", filters=nested).count() == 3
    assert query.as_dict()["path"][0]["entity_type"] == spelled


async def test_values_come_as_they_are_stored(graph):
    stored = await graph.query().append(STRUCTURE, project="node_type").first(flat=True)
    is_new = graph.version.has_core_prefix
    assert stored == (STRUCTURE if is_new else "data.structure.StructureData.")


async def test_a_computer_has_a_label_and_a_name(graph):
    for name in ("label", "name"):
        query = graph.query().append("computer", filters={name: "daint"}, project=name)
        assert await query.dict() == [{"computer_1": {name: "daint"}}]
    computer = await graph.query().append("computer").first(flat=True)
    assert (computer.label, computer.metadata) == ("daint", {"cores": 5})
    query = graph.query().append("computer", filters={"transport_type": "core.local"})
    assert await query.count() == 1


async def test_a_column_that_a_line_does_not_have_is_none(graph):
    query = graph.query().append(STRUCTURE, project=["repository_metadata", "label"])
    assert await query.first() == [{} if graph.version.line == "main" else None, "silicon"]
    keys = (await graph.query().append(STRUCTURE, project="**").dict())[0]["StructureData_1"]
    assert list(keys)[-3:] == ["repository_metadata", "dbcomputer_id", "user_id"]
    asked = {"repository_metadata.o": {"of_type": "null"}}
    assert await graph.query().append(STRUCTURE, filters=asked).count() == 1


async def test_the_recursions_are_the_same(graph):
    query = graph.query().append(STRUCTURE, tag="s").append(BANDS, with_ancestors="s", project="id")
    assert await query.all() == [[3]]
    assert await query.distinct().all() == [[3]]
    assert await query.count() == 1


async def test_a_cycle_made_by_hand_ends(graph):
    await write_links(graph._session, [(3, 2, "input_calc")])
    query = graph.query().append(STRUCTURE, tag="s").append("", with_ancestors="s", project="id")
    assert sorted(await query.all()) == [[2], [2], [3]]
    assert sorted(await query.distinct().all()) == [[2], [3]]


async def test_each_pair_of_a_ladder_of_diamonds_is_found_once(graph):
    steps = 60  # so that there are 2**60 paths
    session, version = graph._session, graph.version
    first = 100
    made = [
        Node(first + at, STRUCTURE if at % 3 == 0 else CALCULATION) for at in range(3 * steps + 1)
    ]
    await write_nodes(session, made, line=version.line)
    links = []
    for top in range(first, first + 3 * steps, 3):
        links += [(top, top + side, "input_calc") for side in (1, 2)]
        links += [(top + side, top + 3, "create") for side in (1, 2)]
    await write_links(session, links)
    query = graph.query().append("", tag="a", filters={"id": first}, project="id")
    query.append(STRUCTURE, tag="b", with_ancestors="a", project="id").distinct()
    assert sorted(await query.all()) == [[first, first + 3 * at] for at in range(1, steps + 1)]
    upwards = graph.query().append("", tag="a", filters={"id": first + 3 * steps})
    upwards.append(STRUCTURE, with_descendants="a", project="id").distinct()
    assert await upwards.count() == steps


async def test_a_walk_goes_on_from_where_another_ended(graph):
    query = graph.query().append(STRUCTURE, tag="s", project="label")
    query.append(BANDS, tag="b", with_ancestors="s", project="id")
    query.append("process.ProcessNode.", tag="p", with_descendants="b", project="id")
    query.append("user", tag="u", with_node="s", project="email").order_by({"s": "label"})
    rows = [["silicon", 3, 2, "ada@epfl.ch"]]
    assert await query.all() == rows
    assert await query.count() == 1
    assert (await query.page(5)).rows == rows
    assert await query.distinct().all() == rows
    assert await query.count() == 1
    assert (await query.page(5)).rows == rows


async def test_a_dictionary_of_1_x_is_taken_and_comes_back_in_the_form_of_2_x(graph):
    old = {
        "path": [
            {"entity_type": "data.structure.StructureData.", "tag": "s", "joining_keyword": None,
             "joining_value": None, "edge_tag": None, "outerjoin": False},
            {"entity_type": CALCULATION, "tag": "c", "joining_keyword": "with_incoming",
             "joining_value": "s", "edge_tag": "s--c", "outerjoin": False},
        ],
        "filters": {"s": {"node_type": {"like": "data.structure.%"}},
                    "c": {"node_type": {"like": "process.calculation.calcjob.%"}}, "s--c": {}},
        "project": {"s": [{"label": {}}], "c": [], "s--c": [{"type": {}}]},
        "order_by": {},
        "limit": None,
        "offset": None,
    }  # fmt: skip
    query = graph.query(old)
    assert await query.all() == [["silicon", "input_calc"]]
    new = query.as_dict()
    assert [one["orm_base"] for one in new["path"]] == ["node", "node"]
    assert (new["order_by"], new["project_map"], new["distinct"]) == ([], {}, False)
    assert graph.query(new).as_dict() == new


async def test_loose_forms_are_taken(graph):
    query = graph.query(
        {
            "path": [
                {"cls": STRUCTURE, "tag": "s", "filters": {"label": "x"}, "project": "label"},
                {"entity_type": CALCULATION, "tag": "c", "direction": 1},
                {"entity_type": [BANDS, "data.core.dict.Dict."], "with_incoming": "c"},
            ],
            "filters": {"s": {"label": {"in": ("silicon",)}}},
            "order_by": {"s": ["id", {"label": "desc"}]},
        }
    )
    assert await query.all() == [["silicon"]]
    path = query.as_dict()["path"]
    assert path[2]["tag"] == "BandsData-Dict_1"
    assert path[1]["joining_value"] == "s"
