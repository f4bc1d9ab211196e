"""Filters by group and by age: pypika in, pypika out."""

import datetime
import math
from argparse import Namespace
from fractions import Fraction
from types import SimpleNamespace

import pytest
from pypika import Query, Table

from aiidadb import nodes
from aiidadb.criteria.group_and_age import query_group, query_past_days
from aiidadb.criteria.tables import groups, links
from aiidadb.criteria.to_sql import bind
from aiidadb.exceptions import InvalidInputError
from tests.helpers.graphs import Node, write_groups, write_links, write_nodes, write_users

ALL = Query.from_(nodes).select(nodes.id).orderby(nodes.id)
NOW = datetime.datetime.now(datetime.UTC)
AGES = {1: 0.0, 2: 0.4, 3: 0.9, 4: 3.0, 5: 400.0, 6: 40_000.0}


async def fill(session, line):
    await write_users(session)
    made = [Node(pk, ctime=NOW - datetime.timedelta(days=age)) for pk, age in AGES.items()]
    await write_nodes(session, made, line=line)
    await write_links(session, [(1, 2, "create")])
    await write_groups(
        session, {"a": [1, 2], "b": [2, 3], "it's; --": [4], "empty": [], "all": list(AGES)}
    )


@pytest.fixture
async def filled(backend):
    await fill(backend._session, backend.version.line)
    return backend


async def chosen(backend, query):
    return [row["id"] for row in await backend.queries.fetch(query)]


async def test_nodes_in_groups_by_label_and_by_pk(filled):
    for given, expected in [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"group_name": "a"}, [1, 2]),
        ({"group_name": ["a"]}, [1, 2]),
        ({"group_name": ("a", "b")}, [1, 2, 3]),  # node 2 once
        ({"group_name": {"it's; --"}}, [4]),
        ({"group_name": (name for name in "ab")}, [1, 2, 3]),
        ({"group_name": "empty"}, []),
        ({"group_name": "no such"}, []),
        ({"group_name": []}, []),
        ({"group_name": ""}, []),
        ({"group_pk": 1}, [1, 2]),
        ({"group_pk": [1, 2]}, [1, 2, 3]),
        ({"group_pk": SimpleNamespace(pk=2)}, [2, 3]),
        ({"group_pk": [SimpleNamespace(pk=2), 3]}, [2, 3, 4]),
        ({"group_pk": {99, -1, 2**40}}, []),
        ({"group_pk": []}, []),
        ({"group_name": "a", "group_pk": 1}, [1, 2]),
        ({"group_name": ["a", "b"], "group_pk": [2, 3]}, [2, 3]),
        ({"group_name": "a", "group_pk": 2}, []),  # node 2 is in both, but no group is both
        ({"group_name": "all", "group_pk": []}, []),
    ]:
        assert await chosen(filled, query_group(ALL, **given)) == expected, given


@pytest.mark.quick
async def test_groups_on_either_line_and_as_djsite_took_them(filled):
    ask = filled.queries
    assert await chosen(filled, ask.query_group(ALL, group_name=["a", "b"])) == [1, 2, 3]
    args = Namespace(group_name=["b"], group_pk=None, past_days=None, all_users=True)
    assert await chosen(filled, ask.query_group(ALL, args)) == [2, 3]
    args = Namespace(group_name=None, group_pk=[3], past_days=2)
    assert await chosen(filled, ask.query_group(ALL, args)) == [4]
    assert await chosen(filled, ask.query_past_days(ALL, args)) == [1, 2, 3]
    assert await chosen(filled, ask.query_group(ALL, Namespace())) == [1, 2, 3, 4, 5, 6]
    both = ask.query_past_days(ask.query_group(ALL, group_name="b"), past_days=0.5)
    assert await chosen(filled, both) == [2]


async def test_nodes_of_the_last_days(filled):
    for days, expected in [
        (None, 6), (0, 0), (0.5, 2), (1, 3), (Fraction(1, 2), 2), (7, 4), (401, 5),
        (50_000, 6), (10**7, 6), (1e300, 6), (365.25 * 2024, 6),
    ]:  # fmt: skip
        found = await chosen(filled, query_past_days(ALL, past_days=days))
        assert found == list(AGES)[:expected], days


def test_a_day_has_24_hours_whatever_the_clocks_do():
    before = datetime.datetime.now(datetime.UTC)
    _, values = bind(query_past_days(ALL, past_days=2.5))
    assert datetime.timedelta(0) <= values[0] - (before - datetime.timedelta(hours=60))
    assert values[0].utcoffset() == datetime.timedelta(0)


def test_the_query_given_is_left_as_it_was_and_values_are_parameters():
    before = str(ALL)
    query = query_past_days(query_group(ALL, group_name=["x'y"], group_pk=[7, 8]), past_days=1.5)
    assert str(ALL) == before
    text, values = bind(query)
    assert "x'y" not in text
    assert values[:2] == [["x'y"], [7, 8]]
    assert query_group(ALL) is ALL
    assert query_past_days(ALL) is ALL


async def test_the_nodes_can_have_an_alias_and_be_joined(filled):
    other = Table("db_dbnode").as_("other")
    query = query_group(Query.from_(other).select(other.id), group_name="b").orderby(other.id)
    assert await chosen(filled, query) == [2, 3]
    joined = Query.from_(links).join(nodes).on(nodes.id == links.output_id).select(nodes.id)
    assert await chosen(filled, query_past_days(joined, past_days=1)) == [2]
    assert await chosen(filled, query_group(joined, group_pk=3)) == []


@pytest.mark.quick
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: query_group(Query.from_(groups).select(groups.id), group_pk=1), "aiidadb.nodes"),
        (lambda: query_past_days(Query.from_(groups).select("*"), past_days=1), "aiidadb.nodes"),
        (lambda: query_group("select id from db_dbnode", group_pk=1), "aiidadb.nodes"),
        (lambda: query_group(ALL, group_name=3), "one label or several"),
        (lambda: query_group(ALL, group_name=["a", 3]), "3 is not a label"),
        (lambda: query_group(ALL, group_name=["a\x00"]), "NUL"),
        (lambda: query_group(ALL, group_name="\ud800"), "surrogate"),
        (lambda: query_group(ALL, group_pk="a"), "pk"),
        (lambda: query_group(ALL, group_pk=[True]), "pk"),
        (lambda: query_group(ALL, group_pk=[1.0]), "pk"),
        (lambda: query_group(ALL, group_pk=2**63), "64 bits"),
        (lambda: query_group(ALL, Namespace(group_pk=[1]), group_pk=[1]), "twice"),
        (lambda: query_past_days(ALL, Namespace(past_days=1), past_days=2), "twice"),
        (lambda: query_past_days(ALL, past_days=-1), "0 or more"),
        (lambda: query_past_days(ALL, past_days=-1e-9), "0 or more"),
        (lambda: query_past_days(ALL, past_days=math.nan), "0 or more"),
        (lambda: query_past_days(ALL, past_days=math.inf), "0 or more"),
        (lambda: query_past_days(ALL, past_days="3"), "number of days"),
        (lambda: query_past_days(ALL, past_days=True), "number of days"),
        (lambda: query_past_days(ALL, past_days=datetime.timedelta(1)), "number of days"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, message):
    with pytest.raises(InvalidInputError, match=message):
        change()
