"""What cannot be meant is refused with an error of ours, before the server is asked."""

from __future__ import annotations

import datetime
import enum
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from pypika import Table
from pypika import functions as sql

import aiidadb
from aiidadb import nodes
from aiidadb.exceptions import InvalidInputError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

STRUCTURE = "data.core.structure.StructureData."
EAST = datetime.timezone(datetime.timedelta(hours=5))


@pytest_asyncio.fixture
async def bare(bare_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """A database that must not be asked."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:

        async def asked(*_: object, **__: object) -> None:
            raise AssertionError("the server was asked")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(backend._session, "run", asked)
            yield backend


def two(backend: aiidadb.Backend) -> aiidadb.QueryBuilder:
    """Two nodes and what is between them."""
    return backend.query().append(STRUCTURE, tag="s").append("", tag="n", edge_tag="e")


def value(number: int) -> Any:
    """A list within a list, and so on."""
    found: Any = 1
    for _ in range(number):
        found = [found]
    return found


def numbered(cases: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Cases with the same names in every process, which those of some objects are not."""
    return [pytest.param(*case, id=f"{number} {case[-1]}") for number, case in enumerate(cases)]


# Filters on a node; whether AiiDA raises a TypeError, and what the message must say.
FILTERS: list[tuple[dict[Any, Any], bool, str]] = [
    ({"labl": "x"}, False, "did you mean 'label'"),
    ({"": "x"}, False, "there are id, uuid"),
    ({"label.x": 5}, False, "use 'label'"),
    ({"id.x": 5}, False, "an integer|not JSON"),
    ({5: 1}, True, "name of a field"),
    ({"id": "x"}, False, "'id': 'x' is not an integer"),
    ({"id": 2**63}, False, "64 bits"),
    ({"id": {">": -(2**70)}}, False, "64 bits"),
    ({"id": True}, True, "'id'.*value of type bool"),
    ({"id": [1]}, True, "list"),
    ({"id": {1: 2}}, True, "operator"),
    ({"id": b"1"}, True, "type bytes"),
    ({"id": {"in": []}}, False, "'id'.*at least one"),
    ({"id": {"!in": []}}, False, "at least one"),
    ({"id": {"in": [1, "2"]}}, False, "several types"),
    ({"id": {"in": [1, None]}}, False, "several types"),
    ({"id": {"in": [2**70]}}, False, "64 bits"),
    ({"id": {"in": ["x"]}}, False, "'x' is not an integer"),
    ({"id": {"in": 5}}, True, "must be a list"),
    ({"id": {"in": int}}, True, "must be a list"),
    ({"id": {"in": iter([1])}}, True, "must be a list|cannot be the value"),
    ({"id": {"contains": [1]}}, False, "no operator 'contains'"),
    ({"id": {"has_key": "a"}}, False, "no operator 'has_key'"),
    ({"id": {"of_length": 1}}, False, "no operator 'of_length'"),
    ({"id": {"of_length": 1.5}}, True, "takes an integer"),
    ({"id": {"!=": 1}}, False, "no operator"),
    ({"id": {"lik": "1"}}, False, "did you mean 'like'"),
    ({"id": {"~!==": 1}}, False, "no operator"),
    ({"id": {"like": 1}}, True, "takes a text"),
    ({"id": {"ilike": "1%"}}, False, "use 'like'"),
    ({"id": {"or": 5}}, True, "list"),
    ({"id": {"or": [5]}}, True, "dictionary"),
    ({"id": {"nor": [{"==": 5}]}}, False, "did you mean 'or'"),
    ({"uuid": "abc"}, False, "'uuid'.*use 'like'"),
    ({"uuid": 5}, True, "a UUID"),
    ({"uuid": {"ilike": "a%"}}, False, "use 'like'"),
    ({"uuid": {"in": ["abc"]}}, False, "not a UUID"),
    ({"label": 5}, True, "a text, which"),
    ({"label": "nul\0"}, False, "NUL"),
    ({"label": "\ud800"}, False, "surrogate"),
    ({"label": {"in": ["a", "\0"]}}, False, "NUL"),
    ({"label": {"like": None}}, True, "takes a text"),
    ({"label": uuid.UUID(int=0)}, True, "type UUID"),
    ({"label": {"==": {"a": 1}}}, True, "a text, which"),
    ({"ctime": "yesterday"}, False, "ISO 8601"),
    ({"ctime": "2024-13-01"}, False, "ISO 8601"),
    ({"ctime": 5}, True, "a time, which"),
    ({"ctime": {">": datetime.datetime(1, 1, 1, tzinfo=EAST)}}, False, "'ctime'.*year 1"),
    ({"ctime": datetime.timedelta(1)}, True, "type timedelta"),
    ({"extras.a": {"near": 1}}, False, "no operator 'near' for JSON"),
    ({"extras.a": {"longer": "x"}}, True, "takes an integer"),
    ({"extras.a": {"longer": True}}, False, "not True or False"),
    ({"extras.a": {"longer": 2**70}}, False, "64 bits"),
    ({"extras.a": {"of_type": "float"}}, False, "one of object, array"),
    ({"extras.a": {"of_type": None}}, False, "one of object, array"),
    ({"extras.a": {"contains": "x"}}, True, "a list or a dictionary"),
    ({"extras.a": {"contains": ({1},)}}, True, "type set"),
    ({"extras.a": {"has_key": 1}}, True, "takes a text"),
    ({"extras.a": {">": True}}, False, "no order"),
    ({"extras.a": {1, 2}}, True, "type set"),
    ({"extras.a": 1j}, True, "type complex"),
    ({"extras.a": [1j]}, True, "type complex"),
    ({"extras.a": uuid.UUID(int=0)}, True, "type UUID"),
    ({"extras.a": datetime.datetime(2024, 1, 1)}, True, "time"),
    ({"extras.a": {"==": {"x": float("nan")}}}, False, "filter on 'extras.a': .*nan"),
    ({"and": [{"extras.b": {"contains": ["\0"]}}]}, False, "filter on 'extras.b': .*NUL"),
    ({"extras.b": {"in": [["\ud800"]]}}, False, "filter on 'extras.b': .*surrogate"),
    ({"extras.a": {"==": {1: 2}}}, False, "JSON keys"),
    ({"extras.a": "nul\0"}, False, "NUL"),
    ({"extras.a": 10**400}, False, "too large"),
    ({"extras.nul\0": 1}, False, "NUL"),
    ({"extras.a": {"like": 1}}, True, "takes a text"),
    ({"extras.a": {"in": [uuid.UUID(int=0)]}}, True, "type UUID"),
    ({"extras.a": value(100)}, False, "max_depth"),
    ({"repository_metadata": 1j}, True, "type complex"),
    ({"or": 5}, True, "list"),
    ({"or": [5]}, True, "dictionary"),
    ({"!and": {"id": 1}}, True, "list"),
    ({"and": [{"or": [{"labl": 1}]}]}, False, "did you mean 'label'"),
]


@pytest.mark.parametrize(("filters", "is_type", "words"), numbered(FILTERS))
async def test_a_filter_that_cannot_be_meant_is_refused(bare, filters, is_type, words):
    with pytest.raises(InvalidInputError, match=words) as caught:
        await bare.query().append("", filters=filters).all()
    assert isinstance(caught.value, InvalidTypeError) == is_type
    assert len(str(caught.value)) <= 500


class Name(enum.StrEnum):
    """Texts of a class of their own."""

    LABEL = "label"
    LIKE = "like"
    TAG = "s"


# What is done with two nodes; whether AiiDA raises a TypeError, and what the message must say.
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], bool, str]] = [
    ("append", (), {}, False, "needs an entity type"),
    ("append", (5,), {}, True, "text or a class"),
    ("append", (int,), {}, False, "not a class of what AiiDA stores"),
    ("append", ("x",), {}, False, "is not a node type: write it as AiiDA stores it, such as"),
    ("append", ("data",), {}, False, "did you mean 'data.Data.'"),
    ("append", ("process.",), {}, False, "did you mean 'process.ProcessNode.'"),
    ("append", ("data.core",), {}, False, "type: give the type of one class, such as 'data.core."),
    ("append", ("data.cor",), {}, False, "type: give the type of one class, such as 'data.core."),
    ("append", ("data.core.foo",), {}, False, "type: write it as AiiDA stores it, such as"),
    ("append", ("data.core.structre",), {}, False, f"did you mean '{STRUCTURE}'"),
    ("append", ("orm.StructureData",), {}, False, f"did you mean '{STRUCTURE}'"),
    ("append", ("aiida.orm.StructureData",), {}, False, f"did you mean '{STRUCTURE}'"),
    ("append", ("orm.Computer",), {}, False, "did you mean 'computer'"),
    ("append", ("orm.Group",), {}, False, "did you mean 'group.core'"),
    ("append", ("orm.Node",), {}, False, "'' stands for nodes of every type"),
    ("append", ("own.Own",), {}, False, "type: write it as AiiDA stores it, such as"),
    ("append", ("StructureData",), {}, False, f"did you mean '{STRUCTURE}'"),
    ("append", ("StructurData.",), {}, False, f"did you mean '{STRUCTURE}'"),
    ("append", (STRUCTURE[:-1],), {}, False, f"did you mean '{STRUCTURE}' .with the final dot."),
    ("append", ("data.own.Own",), {}, False, "mean 'data.own.Own.' .with the final dot."),
    ("append", ("Nodes",), {}, False, "not an entity: '' stands for nodes of every type"),
    ("append", ("users",), {}, False, "'users' is not an entity: did you mean 'user'"),
    ("append", ("groups",), {}, False, "'groups' is not an entity: did you mean 'group.core'"),
    ("append", ("groups.core",), {}, False, "not an entity: did you mean 'group.core'"),
    ("append", ("Group",), {}, False, "'Group' is not an entity: did you mean 'group.core'"),
    ("append", (["", "user"],), {}, False, "node and user"),
    ("append", ("",), {"tag": "s"}, False, "used already"),
    ("append", ("",), {"tag": "a--b"}, False, "'--'"),
    ("append", ("",), {"tag": 5}, True, "tag must be a text"),
    ("append", ("",), {"with_incoming": "x"}, False, "no tag 'x'"),
    ("append", ("",), {"with_incomming": "s"}, False, "did you mean 'with_incoming'"),
    ("append", ("",), {"joining_keyword": "with_grup"}, False, "did you mean 'with_group'"),
    ("append", ("",), {"with_group": "s"}, True, "joins a node to a group, not to a node"),
    ("append", ("user",), {"with_incoming": "s"}, False, "does not join a user: there are wit"),
    ("append", ("",), {"direction": 0}, False, "direction=0"),
    ("append", ("",), {"direction": "1"}, True, "direction must be an integer"),
    ("append", ("",), {"filtres": {}}, False, "no argument 'filtres': did you mean 'filters'"),
    ("append", ("",), {"filter": {}}, False, "no argument 'filter': did you mean 'filters'"),
    ("append", (), {"entity_typ": ""}, False, "argument 'entity_typ': did you mean 'entity_type'"),
    ("append", ("",), {"xyz": {}}, False, "no argument 'xyz': there are entity_type, orm_base"),
    ("append", ("",), {"filters": 5}, True, "filters must be a dictionary"),
    ("append", ("",), {"project": 5}, False, "not the name of a field"),
    ("append", ("link",), {}, False, "does not join a link"),
    ("add_filter", ("x", {}), {}, False, "there are 's', 'n', 'e'"),
    ("add_filter", (5, {}), {}, True, "neither a tag nor a class"),
    ("add_filter", ("s", [1]), {}, True, "must be a dictionary"),
    ("add_filter", ("s", nodes.id), {}, True, "not a pypika criterion"),
    ("add_filter", ("s", nodes.id + 1), {}, True, "not a pypika criterion"),
    ("add_filter", ("s", nodes.lable == "x"), {}, False, "did you mean 'label'"),
    ("add_filter", ("s", Table("db_dbuser").email == "x"), {}, False, "criteria are on the nodes"),
    ("add_filter", ("s", nodes.id == "x"), {}, True, "holds integers"),
    ("add_filter", ("e", Table("db_dblink").lable == "x"), {}, False, "did you mean 'label'"),
    ("add_filter", ("e", nodes.id == 1), {}, False, "must be on db_dblink"),
    ("add_filter", ("e", sql.Length(nodes.label) > 1), {}, False, "must be on db_dblink"),
    ("add_projection", ("s", "labl"), {}, False, "did you mean 'label'"),
    ("add_projection", ("s", 5), {}, False, "not the name of a field"),
    ("add_projection", ("s", {"id": 5}), {}, True, "are a dictionary"),
    ("add_projection", ("s", {"id": {"as": "x"}}), {}, False, "'cast' and 'func'"),
    ("add_projection", ("s", {"extras.a": {"cast": "x"}}), {}, False, "a cast is one of"),
    ("add_projection", ("s", {"id": {"func": "maxi"}}), {}, False, "did you mean 'max'"),
    ("add_projection", ("s", {"*": {"func": "max"}}), {}, False, "take a field"),
    ("add_projection", ("s", ["id", {"id": {"func": "max"}}]), {}, False, "more than once"),
    ("add_projection", ("s", ["id", "id"]), {}, False, "more than once"),
    ("add_projection", ("s", "label.x"), {}, False, "use 'label'"),
    ("order_by", (5,), {}, True, "dictionaries of tags"),
    ("order_by", ({"x": "id"},), {}, False, "there are 's', 'n', 'e'"),
    ("order_by", ({"s": "labl"},), {}, False, "did you mean 'label'"),
    ("order_by", ({"s": "extras.a"},), {}, False, "give a cast"),
    ("order_by", ({"s": {"id": "up"}},), {}, False, "'asc' or 'desc'"),
    ("order_by", ({"s": {"id": {"by": "x"}}},), {}, False, "'order' and 'cast'"),
    ("order_by", ({"s": {"extras.a": {"cast": "x"}}},), {}, False, "a cast is one of"),
    ("limit", ("1",), {}, True, "limit must be a number"),
    ("limit", (-1,), {}, False, "limit must be a number"),
    ("offset", (1.0,), {}, True, "offset must be a number"),
    ("offset", (2**63,), {}, False, "offset must be a number"),
    ("distinct", ("x",), {}, True, "distinct takes"),
    ("children", (), {"filters": {"labl": 1}}, False, "did you mean 'label'"),
    ("inputs", (), {"nonsense": 1}, False, "'nonsense'"),
]


@pytest.mark.parametrize(("name", "given", "options", "is_type", "words"), numbered(CALLS))
async def test_a_step_that_cannot_be_meant_is_refused(bare, name, given, options, is_type, words):
    query = two(bare)
    with pytest.raises(InvalidInputError, match=words) as caught:
        await getattr(query, name)(*given, **options).all()
    assert isinstance(caught.value, InvalidTypeError) == is_type


# A whole dictionary in which one key is wrong; whether AiiDA raises a TypeError.
KEYS: list[tuple[str, Any, bool]] = [
    ("path", None, True),
    ("path", 5, True),
    ("path", [5], True),
    ("path", [{"entity_type": "", "tga": "n"}], False),
    ("filters", 5, True),
    ("filters", {"x": {}}, False),
    ("filters", {"s": 5}, True),
    ("project", 5, True),
    ("project", {"s": 5}, False),
    ("project_map", 5, True),
    ("project_map", {"s": {"id": 5}}, True),
    ("order_by", 5, True),
    ("order_by", [{"s": 5}], False),
    ("limit", "1", True),
    ("limit", -1, False),
    ("limit", 2**64, False),
    ("limit", [1], True),
    ("offset", {}, True),
    ("offset", 1.5, True),
    ("distinct", 5, True),
]


@pytest.mark.parametrize(("key", "wrong", "is_type"), KEYS, ids=repr)
async def test_a_dictionary_with_one_wrong_key_is_refused(bare, key, wrong, is_type):
    query = two(bare).as_dict()
    assert bare.query(query).sql()
    with pytest.raises(InvalidInputError) as caught:
        await bare.query({**query, key: wrong}).all()
    assert isinstance(caught.value, InvalidTypeError) == is_type


def test_an_unknown_key_of_a_vertex_is_named(bare):
    with pytest.raises(InvalidInputError, match="no key 'entity_typ': did you mean 'entity_type'"):
        bare.query({"path": [{"entity_typ": STRUCTURE}]})


async def test_texts_and_collections_of_their_own_classes_are_taken(bare):
    class Own(dict[Any, Any]):
        pass

    plain = two(bare).add_filter("s", {"label": {"like": "x"}}).add_projection("s", "label")
    plain.order_by({"s": {"label": "desc"}})
    query = two(bare).add_filter(Name.TAG, Own({Name.LABEL: Own({Name.LIKE: "x"})}))
    query.add_projection(Name.TAG, Name.LABEL).order_by(Own({Name.TAG: Own({"label": "desc"})}))
    assert query.sql() == plain.sql()
    assert bare.query(Own(query.as_dict())).as_dict() == plain.as_dict()
    given = query.as_dict()
    given["path"][0]["tag"] = Name.TAG
    given["filters"]["n"] = Own(given["filters"]["n"])
    assert bare.query(given).as_dict() == plain.as_dict()
    for one in ({"a": {"b": 1}}, [{"a": 1}]):
        own = Own(one) if isinstance(one, dict) else type("Own", (list,), {})(one)
        found = bare.query().append("", filters={"extras.a": {"==": own}}).sql()
        assert found == bare.query().append("", filters={"extras.a": {"==": one}}).sql()


async def test_a_lone_backslash_at_the_end_of_a_pattern_stands_for_itself(bare):
    for operator in ("like", "ilike"):
        for key in ("label", "node_type", "extras.a"):
            for given, sent in (("a\\", "a\\\\"), ("a\\\\", "a\\\\"), ("\\_", "\\_")):
                query = bare.query().append("", filters={key: {operator: given}})
                assert query.sql()[1][-1] == sent
