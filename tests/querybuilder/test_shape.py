"""Shapes and statements: what queries share, and what never stands in a statement."""

from __future__ import annotations

import contextlib
import copy
import datetime
import decimal
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.querybuilder.canonical import read_canonical
from aiidadb.querybuilder.compiling.compiled import ALL_ROWS, COUNT, Asked
from aiidadb.querybuilder.compiling.parameters import JSON_TYPES
from aiidadb.querybuilder.draft import Draft
from aiidadb.querybuilder.shape import shape_of
from aiidadb.querybuilder.statements import statement_of
from aiidadb.version.schema_version import DJANGO_HEAD, MAIN_HEAD, SQLALCHEMY_HEAD
from tests.helpers.examples import examples
from tests.helpers.query_dictionaries import queries

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.quick

CANARY = "c4n4ry\"'$1;--{}%"


def draft(filters: dict[str, Any], **options: Any) -> Draft:
    made = Draft()
    made.append("", tag="n", filters=filters, **options)
    return made


def text_of(filters: dict[str, Any], **options: Any) -> str:
    return statement_of(shape_of(draft(filters, **options).query), MAIN_HEAD).text


def test_queries_that_differ_in_values_alone_have_one_text():
    now = datetime.datetime.now(datetime.UTC)
    pairs = [
        ({"id": 1}, {"id": 99}),
        ({"label": {"like": "a%"}}, {"label": {"like": "%b"}}),
        ({"label": {"like": "a%"}}, {"label": {"like": "%"}}),
        ({"node_type": {"like": "data.%"}}, {"node_type": {"like": "%"}}),
        ({"extras.a": {"of_type": "number"}}, {"extras.a": {"of_type": "null"}}),
        ({"id": {"in": [1, 2]}}, {"id": {"in": list(range(1000))}}),
        ({"ctime": {">": now}}, {"ctime": {">": now - datetime.timedelta(1)}}),
        ({"extras.a": {"==": {"x": 1}}}, {"extras.a": {"==": {"y": [2]}}}),
        ({"uuid": {"in": [uuid.uuid4()]}}, {"uuid": {"in": [uuid.uuid4(), uuid.uuid4()]}}),
    ]
    for one, other in pairs:
        assert shape_of(draft(one).query).key == shape_of(draft(other).query).key
        assert text_of(one) == text_of(other)


def test_equal_values_are_one_parameter():
    filters = {"or": [{"label": "x"}, {"description": "x"}, {"label": "y"}]}
    shape = shape_of(draft(filters).query)
    statement = statement_of(shape, MAIN_HEAD)
    assert statement.arguments(shape.values) == ["%", "x", "y"]
    other = {"or": [{"label": "x"}, {"description": "z"}, {"label": "y"}]}
    assert shape_of(draft(other).query).key != shape.key
    many = {"or": [{"id": {"in": [1, 2]}}, {"dbcomputer_id": {"in": [1, 2]}}]}
    shape = shape_of(draft(many).query)
    assert statement_of(shape, MAIN_HEAD).arguments(shape.values) == ["%", [1, 2]]
    for one, other in (
        ([1, 2], [2, 1]),
        ([1], [True]),
        ([1, "x"], [True, "x"]),
        ({1: 2}, {1: 3}),
        ([1], (1,)),
        (["a"], [["a"]]),
    ):
        query = draft({"or": [{"extras.a": {"in": one}}, {"extras.b": {"in": other}}]}).query
        assert shape_of(query).dictionary() == query
    for equal in ([1.5], ["x", "y"], {3, 4}, {5: 6}, [[1], [2]]):
        both = {"or": [{"extras.a": {"in": equal}}, {"extras.b": {"in": copy.copy(equal)}}]}
        assert len(shape_of(draft(both).query).values) == 4  # with the type, limit and offset


def test_many_collections_are_not_compared_with_each_other():
    class Counted(str):
        """A text that counts how often it is compared."""

        __slots__ = ()
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    many = [{"label": {"in": [Counted(number)]}} for number in range(500)]
    shape = shape_of(draft({"or": many}).query)
    assert len(shape.values) == 503
    assert Counted.compared < 1000


def test_no_text_of_a_caller_stands_in_a_statement():
    made = Draft()
    made.append(
        "data.c4n4ry'\".X.",
        tag=f"t{CANARY.replace('--', '')}",
        filters={
            f"extras.{CANARY}": {"==": CANARY},
            "label": {"like": CANARY},
            f"attributes.{CANARY}.x": {"in": [CANARY]},
            "or": [{f"extras.{CANARY}": {"has_key": CANARY}}],
        },
        project=[f"extras.{CANARY}", {f"attributes.{CANARY}": {"cast": "f"}}],
    )
    tag = made.last_tag()
    made.append("group.c4n4ry", tag="g'", with_node=tag, edge_tag=CANARY)
    made.order_by({tag: {f"extras.{CANARY}": {"cast": "t"}}})
    statement = statement_of(shape_of(made.query), MAIN_HEAD)
    assert "c4n4ry" not in statement.text
    assert "$1;" not in statement.text


# What can be a text of PostgreSQL's, with what means something to SQL, to drivers and to JSON.
HOSTILE = st.text(
    st.one_of(
        st.sampled_from("'\"`$1:;%_\\-/*{}[](),.?!~ \n"),
        st.characters(codec="utf-8", exclude_characters="\0"),
    ),
    max_size=12,
)


def of_texts(texts: list[str]) -> Draft:
    """A query that has texts everywhere where a caller can put any."""
    tag, other, edge, walk, label, value, name, *keys = texts
    one, two = (".".join(["extras", *steps]) for steps in (keys[:2], keys[2:]))
    made = Draft()
    made.append("", tag=tag, project=[one, {two: {"cast": "f"}}], filters={
        "label": {"or": [{"==": label}, {"like": value}, {"in": [label, value]}]},
        "!or": [{one: value}, {one: {"ilike": value, "in": [value], "has_key": label}}],
        two: {"!contains": {value: [label]}, "==": {label: value}},
        "attributes": {"!has_key": value},
    })  # fmt: skip
    made.append("group.core", tag=other, with_node=tag, edge_tag=edge, filters={"label": label})
    made.append("", tag=walk, with_ancestors=tag, filters={"description": {"!like": label}})
    made.query["filters"][tag]["node_type"] = {"like": value}
    made.query["project_map"] = {tag: {one: name, two: value}, name: {name: label}}
    made.order_by({tag: {one: {"cast": "t"}}})
    return made


@pytest.mark.hypothesis
@settings(max_examples=examples(50))
@given(
    # Equal values are one parameter, and the type of every node is `%` already.
    st.lists(HOSTILE.filter(lambda text: text != "%"), min_size=11, max_size=11, unique=True)
)
def test_whatever_a_caller_writes_the_statement_is_the_same(texts: list[str]):
    numbers = [f"{number}" for number in range(len(texts))]
    # Tags have rules of their own; and with a letter in front a key cannot be a place in a list.
    texts[:4] = [f"t{number}{text}".replace("--", "-") for number, text in enumerate(texts[:4])]
    texts[7:] = [f"k{text}".replace(".", " ") for text in texts[7:]]
    tame = of_texts([*numbers[:7], *(f"k{number}" for number in numbers[7:])])
    shape = shape_of(of_texts(texts).query)
    for version in (MAIN_HEAD, DJANGO_HEAD, SQLALCHEMY_HEAD):
        for asked in (ALL_ROWS, COUNT, Asked("page")):
            statement = statement_of(shape, version, asked=asked)
            expected = statement_of(shape_of(tame.query), version, asked=asked)
            assert statement.text == expected.text


class Others:
    """Another value in place of each, of the same type; equal ones stay equal."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[type, object], int] = {}

    def filters(self, filters: dict[str, Any]) -> dict[str, Any]:
        return {
            key: [self.filters(one) for one in what]
            if key.lstrip("!~") in ("and", "or")
            else self.operators(what)
            if isinstance(what, dict)
            else self.value(what)
            for key, what in filters.items()
        }

    def operators(self, operators: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in operators.items():
            bare = name.lstrip("!~")
            if bare in ("and", "or"):
                found[name] = [self.operators(one) for one in value]
            elif bare == "in":
                found[name] = type(value)([self.value(one) for one in value])
            elif bare == "of_type":
                place = JSON_TYPES.index(value)
                found[name] = JSON_TYPES[(place + 1) % len(JSON_TYPES)]
            else:
                found[name] = self.value(value)
        return found

    def value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value if value is None else not value
        if isinstance(value, list | dict):
            return [value] if isinstance(value, list) else {"in it": value}
        number = self._numbers.setdefault((type(value), value), len(self._numbers))
        if isinstance(value, str):
            return f"%{number}" if number else "%"
        if isinstance(value, uuid.UUID):
            return uuid.UUID(int=number)
        if isinstance(value, datetime.date):
            return value + datetime.timedelta(days=9000)
        return value + type(value)(1000)


@pytest.mark.hypothesis
@settings(max_examples=examples(50))
@given(queries())
def test_other_values_are_in_the_same_statement(query: dict[str, Any]):
    others = Others()
    other = {tag: others.filters(filters) for tag, filters in query["filters"].items()}
    bounds = {name: query[name] and query[name] + 7 for name in ("limit", "offset")}
    one, two = shape_of(query), shape_of({**query, **bounds, "filters": other})
    assert one.key == two.key
    assert len(one.values) == len(two.values)
    for version in (MAIN_HEAD, DJANGO_HEAD, SQLALCHEMY_HEAD):
        statement = statement_of(one, version)
        assert statement.text == statement_of(two, version).text
        assert len(statement.arguments(one.values)) == len(statement.slots)


@pytest.mark.hypothesis
@settings(max_examples=examples(50))
@given(queries())
def test_a_shape_gives_its_query_back(query: dict[str, Any]):
    shape = shape_of(query)
    assert shape.dictionary() == query
    assert Draft.read(query).as_dict() == query
    read = Draft.read(shape.without_filters()).query
    quickly = read_canonical(shape.without_filters())
    assert {**read, "filters": {}} == {**quickly, "filters": {}}
    assert read["filters"].keys() == quickly["filters"].keys()
    for version in (MAIN_HEAD, DJANGO_HEAD, SQLALCHEMY_HEAD):
        with contextlib.suppress(InvalidInputError):  # some ask for an order of truth values
            statement = statement_of(shape, version)
            assert len(statement.arguments(shape.values)) == len(statement.slots)


@pytest.mark.hypothesis
@settings(max_examples=examples(50))
@given(queries())
def test_a_dictionary_of_1_x_comes_back_in_the_form_of_2_x(query: dict[str, Any]):
    old = {key: query[key] for key in ("path", "filters", "project", "limit", "offset")}
    old["order_by"] = query["order_by"] or {}
    old["path"] = [
        {key: what for key, what in vertex.items() if key != "orm_base"} for vertex in query["path"]
    ]
    assert Draft.read(old).as_dict() == {**query, "project_map": {}, "distinct": False}


MOMENT = datetime.datetime(2024, 5, 31, 12, tzinfo=datetime.UTC)
UUID = uuid.UUID(int=7)
VALUES: list[tuple[str, Any]] = [
    *(("id", {"in": one}) for one in ([1, 2], (1, 2), {1, 2}, frozenset({1}), {1: 2})),
    *(("label", {"in": one}) for one in ("ab", {"x"}, ["x"])),
    *(("uuid", one) for one in (UUID, {"in": [UUID]}, {"in": {UUID}}, {"like": "%"})),
    *(("ctime", one) for one in (MOMENT, {">": MOMENT.replace(tzinfo=None)}, MOMENT.date())),
    ("ctime", {"in": (MOMENT,)}),
    ("id", decimal.Decimal(1)),
    *(("extras.a", one) for one in (1, 1.0, True, -0.0, 2**60, 1e300, None, "x", {})),
    *(("extras.a", {"==": one}) for one in ({}, [], [1, 1.0, True, -0.0, None, {"a": [2**70]}])),
    *(("extras.a", {"contains": one}) for one in (("a", "b"), {"a": [1]})),
    *(("extras.a", {"in": one}) for one in ([[1], [1, 2]], [{"a": 1}], {"x": 1}, (True, False))),
]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(key, value, id=f"{key} {number}")  # texts in sets are in no certain order
        for number, (key, value) in enumerate(VALUES)
    ],
)
def test_values_of_every_kind_come_back_as_they_were(key: str, value: Any):
    # Beside those that are equal, and yet are others.
    own = {"extras.b": {"==": 1}, key: value, "extras.c": {"==": True}, "extras.d": {"==": 1.0}}
    query = draft(own).as_dict()
    assert repr(query["filters"]["n"][key]) == repr(value)
    again = shape_of(query).dictionary()
    assert repr(again) == repr(query)
    assert repr(Draft.read(again).as_dict()) == repr(query)


def test_a_query_is_not_what_becomes_of_its_dictionary_later():
    line = Path(__file__).with_name("examples.jsonl").read_text().splitlines()[0]
    given_one = json.loads(line)["query"]
    shape = shape_of(given_one)
    before = json.loads(json.dumps(given_one))
    given_one["filters"]["process"]["attributes.process_state"]["in"].append("x")
    given_one["path"].clear()
    assert shape.dictionary() == before


def test_what_no_dictionary_holds_is_refused():
    query = draft({}).as_dict()
    for key, value in (("project", {"n": [object()]}), ("filters", {"n": {1: 2}}), ("filters", [])):
        with pytest.raises(InvalidTypeError):
            shape_of({**query, key: value})


@pytest.mark.parametrize(
    "loose",
    [
        {"project": {"n": ["id"]}},
        {"project": {"n": [{"id": {"cast": 1}}]}},
        {"project": {"n": [{"id": {"caste": "f"}}]}},
        {"project": {"x": []}},
        {"project": ["id"]},
        {"project_map": {"n": {"id": 1}}},
        {"order_by": {"n": "id"}},
        {"order_by": [{"n": [{"id": {"order": "up"}}]}]},
        {"order_by": [{"n": {"id": {"order": "asc"}}}]},
        {"distinct": 1},
        {"path": [{"tag": ""}]},
        {"path": [{"tag": "a--b"}]},
        {"path": [{"outerjoin": 1}]},
        {"path": [{"entity_type": "data"}]},
        {"path": [{"entity_type": []}]},
        {"path": [{"edge_tag": "e"}]},
        {"path": [{}, {}]},
        {"path": [{}, {"tag": "m", "joining_keyword": "with_incoming", "joining_value": "n"}]},
        {"path": [{}, {"tag": "m", "joining_keyword": "with", "joining_value": "n"}]},
        {"path": [{}, {"tag": "m", "joining_keyword": "with_incoming", "joining_value": "x"}]},
    ],
)
def test_what_is_not_in_the_form_of_2_x_is_read_as_ever(loose: dict[str, Any]):
    query = draft({}, project=["id"]).as_dict()
    path = [{**query["path"][0], **vertex} for vertex in loose.get("path", [{}])]
    query = {**query, **loose, "path": path, "filters": {}}

    def outcome(read: Callable[[Any], Any]) -> object:
        try:
            return {**read(copy.deepcopy(query)), "filters": {}}
        except (InvalidInputError, InvalidTypeError) as error:
            return type(error), str(error)

    assert outcome(read_canonical) == outcome(lambda one: Draft.read(one).query)


def test_integers_that_no_column_holds_are_left_out_of_a_list():
    shape = shape_of(draft({"id": {"in": [1, 2**31, -(2**40), 7]}}).query)
    assert statement_of(shape, MAIN_HEAD).arguments(shape.values)[-1] == [1, 7]
    shape = shape_of(draft({"id": {"in": ["1", str(2**31)]}}).query)
    assert statement_of(shape, MAIN_HEAD).arguments(shape.values)[-1] == [1]
    shape = shape_of(draft({"id": {"in": [1, 2**64]}}).query)
    with pytest.raises(InvalidInputError, match="64 bits"):
        statement_of(shape, MAIN_HEAD).arguments(shape.values)
