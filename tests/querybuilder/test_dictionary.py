"""What queries are put together from: every form that AiiDA takes, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.querybuilder.canonical import is_canonical
from aiidadb.querybuilder.draft import Draft
from aiidadb.querybuilder.entity_types import _NODE_TYPES
from aiidadb.querybuilder.shape import shape_of
from aiidadb.querybuilder.statements import statement_of
from aiidadb.version.schema_version import MAIN_HEAD

pytestmark = pytest.mark.quick

STRUCTURE = "data.core.structure.StructureData."


def two() -> Draft:
    """Two nodes and what is between them."""
    made = Draft()
    made.append(STRUCTURE, tag="s")
    made.append("", tag="n", edge_tag="e")
    return made


def compiled(draft: Draft) -> str:
    return statement_of(shape_of(draft.query), MAIN_HEAD).text


REFUSED_VERTICES: list[tuple[dict[str, Any], type[Exception]]] = [
    ({}, InvalidInputError),
    ({"cls": "", "entity_type": ""}, InvalidInputError),
    ({"cls": 5}, InvalidTypeError),
    ({"cls": []}, InvalidInputError),
    ({"cls": int}, InvalidInputError),
    ({"cls": ["", "user"]}, InvalidInputError),
    ({"entity_type": "data"}, InvalidInputError),
    ({"entity_type": "data."}, InvalidInputError),
    ({"entity_type": "core", "orm_base": "group"}, InvalidInputError),
    ({"entity_type": "core", "orm_base": "edge"}, InvalidInputError),
    ({"cls": "", "orm_base": 5}, InvalidTypeError),
    ({"cls": "", "tag": "s"}, InvalidInputError),
    ({"cls": "", "tag": "a--b"}, InvalidInputError),
    ({"cls": "", "tag": 5}, InvalidTypeError),
    ({"cls": "", "edge_tag": "s"}, InvalidInputError),
    ({"cls": "", "edge_tag": 5}, InvalidTypeError),
    ({"cls": "", "with_incoming": "x"}, InvalidInputError),
    ({"cls": "", "with_incoming": "s", "with_outgoing": "n"}, InvalidInputError),
    ({"cls": "", "with_nothing": "s"}, InvalidInputError),
    ({"cls": "user", "direction": 1}, InvalidInputError),
    ({"cls": "", "direction": 0}, InvalidInputError),
    ({"cls": "", "direction": 9}, InvalidInputError),
    ({"cls": "", "direction": "1"}, InvalidTypeError),
    ({"cls": "", "joining_keyword": "with_nothing", "joining_value": "s"}, InvalidInputError),
    ({"cls": "link"}, InvalidInputError),
    ({"cls": "", "filters": 5}, InvalidTypeError),
    ({"cls": "", "filters": {5: 1}}, InvalidTypeError),
    ({"cls": "", "project": 5}, InvalidInputError),
    ({"cls": "", "project": {5: {}}}, InvalidTypeError),
    ({"cls": "", "project": {"id": 5}}, InvalidTypeError),
    ({"cls": "", "project": {"id": {"as": "x"}}}, InvalidInputError),
    ({"cls": "", "project": {"id": {"cast": 5}}}, InvalidTypeError),
]


@pytest.mark.parametrize(("vertex", "kind"), REFUSED_VERTICES, ids=lambda one: str(one)[:60])
def test_a_vertex_that_cannot_be_meant_changes_nothing(vertex, kind):
    made = two()
    before = made.as_dict()
    with pytest.raises(kind):
        made.append(**vertex)
    assert made.as_dict() == before


REFUSED: list[tuple[str, Any, type[Exception]]] = [
    ("order_by", 5, InvalidTypeError),
    ("order_by", {"x": "id"}, InvalidInputError),
    ("order_by", {"s": 5}, InvalidInputError),
    ("order_by", {"s": {"id": 5}}, InvalidTypeError),
    ("order_by", {"s": {"id": "up"}}, InvalidInputError),
    ("order_by", {"s": {"id": {"by": "x"}}}, InvalidInputError),
    ("order_by", {"s": {"id": {"cast": 5}}}, InvalidTypeError),
    ("limit", "1", InvalidTypeError),
    ("limit", -1, InvalidInputError),
    ("offset", 1.0, InvalidTypeError),
    ("distinct", 1, InvalidTypeError),
    ("path", 5, InvalidTypeError),
    ("path", [{5: 1}], InvalidTypeError),
    ("filters", 5, InvalidTypeError),
    ("filters", {"x": {}}, InvalidInputError),
    ("project", 5, InvalidTypeError),
    ("project_map", 5, InvalidTypeError),
    ("project_map", {"s": 5}, InvalidTypeError),
    ("project_map", {"s": {"id": 5}}, InvalidTypeError),
    ("limits", 5, InvalidTypeError),
]


@pytest.mark.parametrize(("key", "value", "kind"), REFUSED, ids=str)
def test_a_dictionary_that_cannot_be_meant_is_refused(key, value, kind):
    with pytest.raises(kind):
        Draft.read({"path": [{"cls": "", "tag": "s"}], key: value})


def test_a_dictionary_is_one():
    with pytest.raises(InvalidTypeError):
        Draft.read([])  # type: ignore[arg-type]


NOT_COMPILED: list[tuple[str, Any]] = [
    ("project", {"s": ["labl"]}),
    ("project", {"s": ["label.x"]}),
    ("project", {"s": ["id", "id"]}),
    ("project", {"s": [{"*": {"func": "max"}}]}),
    ("project", {"s": [{"id": {"func": "sum"}}]}),
    ("project", {"s": [{"uuid": {"func": "max"}}]}),
    ("project", {"s": [{"id": {"func": "max"}}, "label"]}),
    ("project", {"s": [{"extras.x": {"cast": "x"}}]}),
    ("order_by", {"s": "extras.x"}),
    ("filters", {"s": {"extras.x": {"!!and!": []}}}),
    ("filters", {"s": {"extras.x": {"near": 1}}}),
    ("filters", {"s": {"id": {"in": [None, 1]}}}),
    ("filters", {"e": {"ctime": 1}}),
    ("filters", {"s": {"extras.x": {"!near": []}}}),
    ("filters", {"s": {"id": {"in": ["1", "x"]}}}),
    ("filters", {"s": {"repository_metadata": {"==": [float("inf")]}}}),
]


@pytest.mark.parametrize(("key", "value"), NOT_COMPILED, ids=str)
def test_what_is_not_there_is_refused_with_what_is(key, value):
    query = two().as_dict()
    made = Draft.read({**query, key: value})
    with pytest.raises(InvalidInputError):
        shape = shape_of(made.query)
        statement_of(shape, MAIN_HEAD).arguments(shape.values)


def test_an_edge_of_the_table_between_alone_has_columns():
    made = two()
    made.append("", tag="a", with_ancestors="n", edge_tag="way", edge_project="*")
    with pytest.raises(InvalidInputError, match="not an entity"):
        compiled(made)
    made.add_projection("way", "**")
    assert "v2.depth" in compiled(made)
    made.add_filter("way", {"or": [{"path": [1, 2]}, {"depth": 1}]})
    assert "v2.path" in compiled(made)


def test_only_a_vertex_can_be_joined_to():
    made = two()
    query = made.as_dict()
    query["path"][1]["joining_value"] = "e"
    with pytest.raises(InvalidInputError):
        compiled(Draft.read(query))
    query["path"][1] |= {"joining_keyword": "with_group", "joining_value": "s"}
    with pytest.raises(InvalidTypeError, match="joins a node to a group"):
        statement_of(shape_of(query), MAIN_HEAD)


def test_distinct_rows_are_ordered_by_what_is_projected():
    made = two()
    made.add_projection("s", ["id", "uuid", "ctime"])
    made.distinct()
    made.order_by([{"s": ["uuid", {"ctime": "desc"}]}])
    assert compiled(made).startswith("select distinct")
    made.order_by({"s": "label"})
    with pytest.raises(InvalidInputError, match="project"):
        compiled(made)


def test_an_empty_query_has_no_statement():
    with pytest.raises(InvalidInputError, match="empty"):
        Draft().last_tag()
    with pytest.raises(InvalidInputError, match="empty"):
        compiled(Draft())


def test_tags_are_made_up_to_a_hundred():
    made = Draft()
    for _ in range(99):
        made.append("")
    assert made.last_tag() == "node_99"
    with pytest.raises(InvalidInputError, match="99"):
        made.append("")


def test_a_dictionary_in_the_form_of_2_x_is_recognised():
    query = two().as_dict()
    assert is_canonical(query)
    for change in (
        {"path": ()},
        {"path": []},
        {"path": ["x"]},
        {"filters": {"s": {}, "n": {}, "e": {}}},
        {"filters": 5},
        {"path": [{**query["path"][0], "orm_base": 5}]},
    ):
        assert not is_canonical({**query, **change})
    assert not is_canonical({"path": query["path"]})


def test_types_that_are_suggested_are_aiidas(aiida_home):
    from aiida.plugins.entry_point import get_entry_points

    points = [*get_entry_points("aiida.data"), *get_entry_points("aiida.node")]
    assert {point.load().class_node_type for point in points} >= set(_NODE_TYPES)


def test_types_of_groups_are_prefixes():
    for given, filters in (
        ("group.core", {"like": "%"}),
        ("group.core.upf", {"like": "core.upf%"}),
        ("group.my_own", {"like": "my\\_own%"}),
        ("group.core.", {"like": "%"}),  # as aiida-restapi's clients write it
        ("group.core.upf.", {"like": "core.upf%"}),
    ):
        made = Draft()
        made.append(given, tag="g")
        assert made.query["filters"]["g"] == {"type_string": filters}
    for given in ("group.core", "group.core."):
        made = Draft()
        made.append(given, tag="g", subclassing=False)
        assert made.query["filters"]["g"] == {"type_string": {"==": "core"}}


async def test_classes_of_aiida_stand_for_types_and_tags(aiida_world, world):
    from aiida import orm
    from aiida.calculations.arithmetic.add import ArithmeticAddCalculation
    from aiida.workflows.arithmetic.multiply_add import MultiplyAddWorkChain

    made = orm.QueryBuilder(backend=aiida_world).append(orm.StructureData)
    made.append(orm.Group, with_node=orm.StructureData).append(orm.User, with_group=orm.Group)
    query = world.query().append(orm.StructureData)
    query.append(orm.Group, with_node=orm.StructureData).append(orm.User, with_group=orm.Group)
    assert query.as_dict() == made.as_dict()
    for one in (orm.Computer, orm.AuthInfo, orm.Comment, orm.Log, [orm.Dict, orm.Int]):
        theirs = orm.QueryBuilder(backend=aiida_world).append(one).as_dict()
        assert world.query().append(one).as_dict() == theirs
    for one in (ArithmeticAddCalculation, MultiplyAddWorkChain):
        theirs = orm.QueryBuilder(backend=aiida_world).append(one, subclassing=False).as_dict()
        assert world.query().append(one, subclassing=False).as_dict() == theirs
    both = world.query().append([ArithmeticAddCalculation, orm.CalcJobNode], tag="p").as_dict()
    assert len(both["filters"]["p"]["process_type"]["or"]) == 1
    with pytest.raises(InvalidInputError, match="give one tag"):
        world.query().append(orm.Dict).append(orm.Dict).add_filter(orm.Dict, {})


async def test_a_process_class_without_an_entry_point_means_itself_alone(aiida_world, world):
    from aiida import orm
    from aiida.common.warnings import AiidaEntryPointWarning
    from aiida.engine import WorkChain

    class Relaxation(WorkChain):
        """As a user writes it in a notebook, beside others."""

    Relaxation.__module__ = "my_own.workflows.relax"
    query = world.query().append(Relaxation, tag="r").as_dict()
    with pytest.warns(AiidaEntryPointWarning):
        assert orm.QueryBuilder(backend=aiida_world).append(Relaxation, tag="r").as_dict() == query
    (own, others) = query["filters"]["r"]["process_type"]["or"]
    assert own == {"==": "my_own.workflows.relax.Relaxation"}
    assert "%" not in others["like"]


async def test_fields_and_entities_of_aiida_are_taken(aiida_world, world):
    from aiida import orm

    user = orm.QueryBuilder(backend=aiida_world).append(orm.User).first(flat=True)
    filters = (orm.Node.fields.pk > 3) & (orm.Node.fields.label == "structure 1")
    query = world.query().append(orm.Node, tag="n", filters=filters)
    query.add_projection("n", [orm.Node.fields.pk, orm.Node.fields.ctime])
    made = orm.QueryBuilder(backend=aiida_world).append(orm.Node, tag="n", filters=filters)
    made.add_projection("n", [orm.Node.fields.pk, orm.Node.fields.ctime])
    assert query.as_dict() == made.as_dict()
    assert await query.dict() == made.dict()
    fields = [orm.StructureData.fields.kinds, orm.StructureData.fields.attributes]
    query = world.query().append(orm.StructureData, tag="s", project=fields)
    made = orm.QueryBuilder(backend=aiida_world).append(orm.StructureData, tag="s", project=fields)
    assert query.as_dict() == made.as_dict()
    assert list((await query.dict())[0]["s"]) == ["kinds", "attributes"]
    query = world.query().append(orm.Node, filters={"user": user}, project=orm.Node.fields.pk)
    assert query.as_dict()["filters"]["node_1"]["user_id"] == user.pk
    assert await query.order_by({"node_1": [orm.Node.fields.pk]}).first() is not None


KEPT: list[dict[str, Any]] = [
    {"or": ({"label": "a"}, {"label": {"or": ({"==": "b"}, {"like": "c%"})}})},
    {"!and": [{"and": ({"id": {"in": (1, 2)}}, {"id": {"in": {1, 2}}})}]},
    {"id": {"in": range(5)}, "extras.a": {"in": ({"x": 1}, {"y": (1,)})}},
    {"id": {"!in": range(5)}, "extras.a": {"in": [{"x": (1, [2, (3,)])}]}},
    {"extras.a": {"==": {"x": (1, {"y": ()})}}, "extras.b": {"==": [(1, 2)]}},
    {"extras.a": {"contains": (1, (2, 3))}, "extras": {"contains": {"a": (1,)}}},
    {"extras.a": {"and": ({"has_key": "x"}, {"!of_type": "number"})}},
    {"extras.a": {"in": ("x", "y")}, "extras.b": {"in": [True]}, "extras.c": {"in": [1]}},
]


@pytest.mark.parametrize("filters", KEPT, ids=repr)
async def test_tuples_and_ranges_come_back_as_they_were(aiida_world, world, filters):
    from aiida import orm

    made = orm.QueryBuilder(backend=aiida_world).append(orm.Node, tag="n", filters=filters)
    given = made.as_dict()
    query = world.query(given)
    assert query.as_dict() == given
    assert query.add_projection("n", "id").as_dict()["filters"] == given["filters"]
    assert await world.query(given).count() == made.count()


def test_a_tuple_in_json_is_a_list():
    pairs = [
        ({"extras.a": {"==": {"x": (1, (2,))}}}, {"extras.a": {"==": {"x": [1, [2]]}}}),
        ({"extras.a": {"in": ({"x": 1}, {"y": 2})}}, {"extras.a": {"in": [{"x": 1}, {"y": 2}]}}),
        ({"extras.a": {"contains": (1, (2,))}}, {"extras.a": {"contains": [1, [2]]}}),
    ]
    for one, other in pairs:
        sent = []
        for filters in (one, other):
            made = Draft()
            made.append("", tag="n", filters=filters)
            shape = shape_of(made.query)
            statement = statement_of(shape, MAIN_HEAD)
            sent.append((statement.text, statement.arguments(shape.values)))
        assert sent[0] == sent[1]


def test_a_deep_tuple_is_refused():
    deep: Any = 1
    for _ in range(80):
        deep = (deep,)
    for operator in ("==", "contains", "in"):
        made = Draft()
        made.append(
            "", tag="n", filters={"extras.a": {operator: [[deep]] if operator == "in" else deep}}
        )
        with pytest.raises(InvalidInputError, match="nested deeper"):
            shape_of(made.query)
