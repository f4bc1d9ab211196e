"""Shapes and statements: what queries share, and what never stands in a statement."""

from __future__ import annotations

import contextlib
import copy
import datetime
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.querybuilder.dictionary import Draft, read_canonical
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
