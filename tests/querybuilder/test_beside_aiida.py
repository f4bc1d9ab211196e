"""aiida-core 2.9.4's QueryBuilder is the oracle: the same dictionaries, the same answers."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from aiidadb.exceptions import MultipleObjectsError, NotExistent
from tests.querybuilder.oracle import oracle, plain

if TYPE_CHECKING:
    from aiida.storage.psql_dos.backend import PsqlDosBackend

    import aiidadb

EXAMPLES = [
    json.loads(line) for line in Path(__file__).with_name("examples.jsonl").read_text().splitlines()
]

# There is nothing like it in the small database.
WITHOUT_ROWS = {"not_converged", "pw_scf_energies", "seekpath_origin", "workchain_two_levels"}


async def answers(
    storage: PsqlDosBackend, backend: aiidadb.Backend, query: dict[str, Any], mode: str = "all"
) -> tuple[Any, Any]:
    """What aiida-core answers, and what aiidadb does; rows that are not ordered in one order."""
    theirs = plain(getattr(oracle(storage, query), mode)())
    ours = plain(await getattr(backend.query(query), mode)())
    if isinstance(theirs, list) and mode != "first" and not query["order_by"]:
        return sorted(map(repr, theirs)), sorted(map(repr, ours))
    return theirs, ours


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def places(aiida_world) -> dict[Any, Any]:
    """What stands in this database for the pks and names of the one that the examples are from."""
    from aiida import orm

    def pk(cls: Any, **filters: Any) -> int:
        found = orm.QueryBuilder(backend=aiida_world).append(cls, filters=filters, project="id")
        return found.order_by({found.as_dict()["path"][0]["tag"]: "id"}).first(flat=True)

    calculation = pk(orm.CalcJobNode, label="calculation 3.1")
    uuid = orm.QueryBuilder(backend=aiida_world).append(orm.Node, filters={"id": calculation})
    return {
        140618: calculation,
        140623: pk(orm.BandsData, **{"extras.band_gap": 1.5}),
        26: pk(orm.StructureData, label="structure 3"),
        "b6f216b8-a42a-4ba1-b15e-526a61d3a59c": uuid.first(flat=True).uuid,
        "a@b.c": "ada@epfl.ch",
        9: pk(orm.Group, label="relax_all"),
        10: pk(orm.Group, label="relaxed"),
        "structures/screening/batch1": "relax_all",
        "data.core.upf.%": "data.core.structure.%",
        "attributes.element": "extras.formula",
        100000: 5,
        400: 4,
        "output%": "retr%",
    }


def placed(part: Any, places: dict[Any, Any]) -> Any:
    if isinstance(part, dict):
        return {placed(key, places): placed(one, places) for key, one in part.items()}
    if isinstance(part, list):
        return [placed(one, places) for one in part]
    return places.get(part, part) if isinstance(part, int | str) else part


@pytest.mark.parametrize("example", [pytest.param(one, id=one["name"]) for one in EXAMPLES])
async def test_a_question_of_a_user_is_answered_as_by_aiida(aiida_world, world, places, example):
    query = placed(example["query"], places)
    theirs, ours = await answers(aiida_world, world, query, example["mode"])
    assert ours == theirs
    some, number = await world.query({**query, "limit": 3}).all_and_count()
    assert number == oracle(aiida_world, {**query, "limit": None}).count()
    assert len(some) == min(number, 3)
    assert ours or example["name"] in WITHOUT_ROWS


def given(name: str) -> dict[str, Any]:
    return next(one["query"] for one in EXAMPLES if one["name"] == name)


@pytest.mark.parametrize("name", [one["name"] for one in EXAMPLES])
async def test_a_dictionary_comes_back_as_it_was(world, name):
    assert world.query(given(name)).as_dict() == given(name)


FILTERS: list[dict[str, Any]] = [
    {"process_type": {"!==": "aiida.calculations:qe.pw"}},
    {"process_type": {"==": None}},
    {"process_type": {"!==": None}},
    {"extras.nothing": None},
    {"extras.nothing": {"!==": None}},
    {"extras.nothing": {"of_type": "null"}},
    {"extras.missing": {"!of_type": "number"}},
    {"extras.missing": {"!contains": [1]}},
    {"extras.number": {"!has_key": "a"}},
    {"extras": {"has_key": "formula"}},
    {"extras": {}},
    {"or": []},
    {"or": [{}, {"and": []}]},
    {"!or": [{"id": {">": 9}}, {"extras.formula": "Si"}]},
    {"id": {"or": [{}, {">": 20, "<": 40}]}},
    {"id": {"!and": [{">": 10}, {"<": 20}]}},
    {"id": {"in": {3, 5, 7}}},
    {"id": {"in": (3, 5)}},
    {"id": {"!in": [3, 5]}},
    {"id": {"in": [1.0, 2.0]}},
    {"id": {"!!==": 3}},
    {"id": 3.0},
    {"id": {"like": "1%"}},
    {"label": {"in": "ab"}},
    {"label": {"like": "structure\\_%"}},
    {"label": {"ilike": "STRUCTURE%"}},
    {"ctime": {">": datetime.datetime(2020, 1, 1)}},
    {"ctime": {">": datetime.date(2020, 1, 1)}},
    {"ctime": {"in": [datetime.datetime(2020, 1, 1)]}},
    {"extras.formula": {"!==": "Si"}},
    {"extras.formula": {"!in": ["Si", "x"]}},
    {"extras.formula": {"in": ["Si", "SiO2"]}},
    {"extras.formula": {">": "Si"}},
    {"extras.flag": {"in": [True]}},
    {"extras.flag": {"!==": True}},
    {"extras.list": {"<": [1, 5]}},
    {"extras.only_some.a": {"==": {"b": 1}}},
    {"extras.only_some.a": {"!==": {"b": 1}}},
    {"extras.number": {"in": [0, 2]}},
    {"extras.number": {"~or": [{"==": 0}, {">": 2}]}},
    {"extras.list": {"of_length": 2}},
    {"extras.list": {"!longer": 1}},
    {"repository_metadata": {"==": {}}},
    {"repository_metadata": {"!==": {}}},
    {"repository_metadata.o": {"of_type": "object"}},
    {"user": 2},
    {"computer": {"!==": None}},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_a_rule_of_filters_is_that_of_aiida(aiida_world, world, filters):
    query = world.query().append("", tag="n", filters=filters, project="id").as_dict()
    theirs, ours = await answers(aiida_world, world, query)
    assert ours == theirs


async def test_an_outer_join_keeps_what_aiida_keeps(aiida_world, world):
    for outer in ("computer", "comment", "log"):
        query = world.query().append("process.ProcessNode.", tag="n", project="id")
        query.append(outer, with_node="n", outerjoin=True, project=["id", "*"])
        theirs, ours = await answers(aiida_world, world, query.as_dict())
        assert ours == theirs
        assert len(ours) > 10
    query = world.query().append("data.core.folder.FolderData.", tag="f", project="id")
    query.append("process.workflow.WorkflowNode.", with_incoming="f", outerjoin=True)
    assert await answers(aiida_world, world, query.as_dict()) == ([], [])


@pytest.mark.parametrize(
    ("node_type", "subclassing", "is_found"),
    [
        ("data.core.structure.Foo.", True, True),
        ("data.core.structure.Foo.", False, False),
        ("process.workflow.", True, True),
        ("data.core.array.", True, True),
    ],
)
async def test_the_last_part_of_a_type_is_compared_only_without_subclasses(
    aiida_world, world, node_type, subclassing, is_found
):
    from aiida import orm

    asked = {"tag": "n", "project": "id", "subclassing": subclassing}
    theirs = orm.QueryBuilder(backend=aiida_world).append(entity_type=node_type, **asked)
    ours = world.query().append(node_type, **asked)
    assert sorted(await ours.all()) == sorted(theirs.all())
    assert (await ours.count() > 0) is is_found
    wider = {"process.workflow.": "process.ProcessNode.", "data.core.array.": "data.core.Foo."}
    if node_type in wider:
        assert await ours.count() == await world.query().append(wider[node_type]).count()


ORDERED: list[dict[str, Any]] = [
    {"project": ["id", "label", "extras.formula"]},
    {"project": "id"},
    {"project": ["*", "id"]},
    {"filters": {"label": "nothing"}, "project": "id"},
    {"filters": {"label": "structure 1"}, "project": ["uuid", "ctime"]},
]


@pytest.mark.parametrize("given_one", ORDERED, ids=str)
async def test_each_way_of_asking_answers_as_that_of_aiida(aiida_world, world, given_one):
    query = world.query().append("data.core.structure.StructureData.", tag="s", **given_one)
    dictionary = query.order_by({"s": {"id": "desc"}}).as_dict()

    def theirs() -> Any:
        return oracle(aiida_world, dictionary)

    ours = world.query(dictionary)
    assert plain(await ours.all()) == plain(theirs().all())
    assert plain(await ours.all(batch_size=3)) == plain(theirs().all(batch_size=3))
    assert plain(await ours.all(flat=True)) == plain(theirs().all(flat=True))
    assert plain(await ours.dict()) == plain(theirs().dict())
    assert plain(await ours.first()) == plain(theirs().first())
    assert plain(await ours.first(flat=True)) == plain(theirs().first(flat=True))
    assert await ours.count() == theirs().count()
    for size in (1, 3, 100):
        assert plain([row async for row in ours.iterall(size)]) == plain(theirs().all())
        assert plain([row async for row in ours.iterdict(size)]) == plain(theirs().dict())
    if len(theirs().all()) == 1:
        assert plain(await ours.one()) == plain(theirs().one())
    else:
        with pytest.raises((MultipleObjectsError, NotExistent)):
            await ours.one()
