"""What criteria choose on a server, held against the same said in Python; and every construct."""

import datetime
import decimal
import operator
import re

import hypothesis.strategies as st
import pytest
from pypika import Case, Query, Table
from pypika import functions as fn
from pypika.analytics import Preceding, RowNumber, Sum
from pypika.terms import JSON, AtTimezone, ExistsCriterion, Not, ValueWrapper

import aiidadb
from aiidadb import nodes
from aiidadb.criteria.tables import group_nodes, groups, links
from aiidadb.exceptions import DatabaseError
from tests.helpers.graphs import (
    BANDS,
    INT,
    SOME_TIME,
    STRUCTURE,
    Node,
    each_in_a_transaction,
    write_groups,
    write_links,
    write_nodes,
    write_users,
)

ROWS = [
    Node(1, STRUCTURE, label="silicon", attributes={"pbc": True, "energy": -1.5, "tags": ["a"]}),
    Node(2, INT, label="", attributes={"value": 1, "energy": None}, process_type="p"),
    Node(3, BANDS, label="100%", attributes={"labels": {"x": "G"}}, user=2),
    Node(4, INT, label="Silicon_2", attributes=None, process_type="q:1"),
    Node(5, INT, label="a\\b'c", attributes={}, ctime=SOME_TIME + datetime.timedelta(days=2)),
]

node_pk = nodes.id
of_nodes = Query.from_(nodes).select(node_pk).orderby(node_pk)


@pytest.fixture
async def filled(backend):
    """A backend on a database with the rows above, some links, and two groups."""
    session = backend._session
    await write_users(session, "ada@epfl.ch", "emmy@example.org")
    await write_nodes(session, ROWS, line=backend.version.line)
    await write_links(session, [(1, 2, "input_calc"), (2, 3, "create"), (2, 5, "create")])
    await write_groups(session, {"a": [1, 2], "b": [2]})
    return backend


async def chosen(backend, criterion):
    """The pks of the nodes that a criterion chooses."""
    return [row["id"] for row in await backend.queries.fetch(of_nodes.where(criterion))]


# ---------------------------------------------------------------- as Python would


def _arithmetic():
    """Terms, each with the number that Python makes of it for node 7 of user 1."""
    numbers = st.integers(1, 9)
    leaves = st.sampled_from([(nodes.id, 7), (nodes.user_id, 1)]) | numbers.map(
        lambda number: (ValueWrapper(number), number)
    )

    def combine(symbol, meaning):
        def of(left, right):
            known = left[1] is not None and right[1] is not None
            return symbol(left[0], right[0]), meaning(left[1], right[1]) if known else None

        return of

    def divide(one, two):
        return one / fn.NullIf(two, 0)

    def truncated(one, two):
        return int(one / two) if two else None

    def extend(inner):
        operators = [
            (operator.add, operator.add),
            (operator.sub, operator.sub),
            (operator.mul, operator.mul),
            (divide, truncated),
        ]
        return st.one_of(
            inner.map(lambda one: (-one[0], None if one[1] is None else -one[1])),
            *(st.builds(combine(*both), inner, inner) for both in operators),
        )

    return st.recursive(leaves, extend, max_leaves=7)


@pytest.mark.hypothesis
async def test_arithmetic_is_what_python_makes_of_it(main_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        await write_users(backend._session)
        await write_nodes(backend._session, [Node(7)], line="main")

        async def check(pair):
            term, expected = pair
            rows = await backend.queries.fetch(Query.from_(nodes).select(term.as_("value")))
            assert rows[0]["value"] == expected

        await each_in_a_transaction(backend, check, _arithmetic(), count=20)


def _leaf(term, meaning, value):
    """A criterion, and what it says of a row: True, False or None."""

    def say(row):
        left = value(row)
        return None if left is None else meaning(left)

    return term, say


def _like(pattern, flags=0):
    wild = {"%": ".*", "_": "."}
    regex = "".join(wild.get(character, re.escape(character)) for character in pattern)
    return lambda text: re.fullmatch(regex, text, flags | re.DOTALL) is not None


def _energy(row):
    """In a list, because null in JSON is a value."""
    has_one = row.attributes is not None and "energy" in row.attributes
    return [row.attributes["energy"]] if has_one else None


def _comparisons(column, attribute, values, operators):
    value = operator.attrgetter(attribute)
    return st.builds(
        lambda how, other: _leaf(how(column, other), lambda left: how(left, other), value),
        st.sampled_from(operators),
        values,
    )


def _leaves():
    pk, label, process_type, attributes = map(
        operator.attrgetter, ("pk", "label", "process_type", "attributes")
    )
    equality = (operator.eq, operator.ne)
    order = (*equality, operator.lt, operator.le, operator.gt, operator.ge)
    pks = st.integers(0, 6)
    labels = st.sampled_from(["silicon", "", "100%", "Silicon_2", "a\\b'c", "sil", "$1"])
    types = st.sampled_from(["p", "q:1", "r"])
    some_json = st.sampled_from([{"pbc": True}, {"energy": -1.5}, {"labels": {"x": "G"}}, {}])
    return st.one_of(
        _comparisons(nodes.id, "pk", pks, order),
        _comparisons(nodes.user_id, "user", pks, order),
        _comparisons(nodes.ctime, "ctime", st.just(SOME_TIME), order),
        _comparisons(nodes.process_type, "process_type", types, equality),
        _comparisons(nodes.label, "label", labels, equality),
        st.sampled_from(["%", "si%", "%_", "100%", "_ilicon", "", "%i%"]).map(
            lambda text: _leaf(nodes.label.like(text), _like(text), label)
        ),
        st.sampled_from(["SI%", "%C"]).map(
            lambda text: _leaf(nodes.label.ilike(text), _like(text, re.IGNORECASE), label)
        ),
        st.lists(pks).map(lambda some: _leaf(node_pk.isin(some), lambda left: left in some, pk)),
        st.sets(types).map(
            lambda some: _leaf(
                nodes.process_type.notin(some),
                lambda left: left not in some,
                # Of no values even null is none.
                process_type if some else label,
            )
        ),
        st.tuples(pks, pks).map(
            lambda ends: _leaf(node_pk.between(*ends), lambda left: ends[0] <= left <= ends[1], pk)
        ),
        st.just((nodes.process_type.isnull(), lambda row: row.process_type is None)),
        st.just((nodes.process_type != None, lambda row: row.process_type is not None)),  # noqa: E711
        st.sampled_from(["pbc", "energy", "value", "x"]).map(
            lambda key: _leaf(nodes.attributes.has_key(key), lambda left: key in left, attributes)
        ),
        some_json.map(
            lambda part: _leaf(
                nodes.attributes.contains(part), lambda left: left == {**left, **part}, attributes
            )
        ),
        st.sampled_from([True, -1.5, 1, "G"]).map(
            lambda value: _leaf(
                nodes.attributes.get_json_value("energy") == value,
                lambda left: left == [value],
                _energy,
            )
        ),
    )


def _negate(pair):
    term, say = pair
    return ~term, lambda row: None if say(row) is None else not say(row)


def _unknown(pair):
    term, say = pair
    return term.isnull(), lambda row: say(row) is None


def _decided(how, decisive):
    """`and` is decided by one False, `or` by one True."""

    def of(left, right):
        def say(row):
            answers = (left[1](row), right[1](row))
            return decisive if decisive in answers else None if None in answers else not decisive

        return how(left[0], right[0]), say

    return of


def _compared(how, meaning):
    def of(left, right):
        def say(row):
            answers = (left[1](row), right[1](row))
            return None if None in answers else meaning(*answers)

        return how(left[0], right[0]), say

    return of


def _criteria():
    combinations = (
        _decided(operator.and_, decisive=False),
        _decided(operator.or_, decisive=True),
        _compared(operator.xor, operator.ne),
        _compared(operator.eq, operator.eq),
    )
    return st.recursive(
        _leaves(),
        lambda inner: st.one_of(
            inner.map(_negate),
            inner.map(_unknown),
            *(st.builds(how, inner, inner) for how in combinations),
        ),
        max_leaves=6,
    )


@pytest.mark.hypothesis
async def test_criteria_choose_the_rows_that_python_would(filled):
    async def check(pair):
        criterion, say = pair
        assert await chosen(filled, criterion) == [row.pk for row in ROWS if say(row) is True]

    await each_in_a_transaction(filled, check, _criteria(), count=40)


# ---------------------------------------------------------------- every construct


async def test_queries_inside_criteria(filled):
    children = Query.from_(links).select(links.output_id).where(links.type == "create")
    assert await chosen(filled, node_pk.isin(children)) == [3, 5]
    assert await chosen(filled, node_pk.notin(children)) == [1, 2, 4]
    has_child = Query.from_(links).select(1).where(links.input_id == node_pk)
    assert await chosen(filled, ExistsCriterion(has_child)) == [1, 2]
    assert await chosen(filled, Not(ExistsCriterion(has_child))) == [3, 4, 5]
    highest = Query.from_(nodes).select(fn.Max(nodes.id))
    assert await chosen(filled, node_pk == highest) == [5]
    assert await chosen(filled, node_pk + highest > 8) == [4, 5]
    # A column of the query around, selected inside.
    itself = Query.from_(links).select(node_pk).limit(1)
    assert await chosen(filled, node_pk == itself) == [1, 2, 3, 4, 5]
    grouped = of_nodes.groupby(node_pk).having(ExistsCriterion(children)).limit(1)
    assert [row[0] for row in await filled.queries.fetch(grouped)] == [1]


async def test_joins_unions_and_named_queries(filled):
    async def values(query):
        return [row[0] for row in await filled.queries.fetch(query)]

    members = (
        of_nodes.join(group_nodes)
        .on((group_nodes.dbnode_id == node_pk) & (group_nodes.id > 0))
        .join(groups)
        .on(groups.id == group_nodes.dbgroup_id)
        .where(groups.label == "a")
    )
    assert await values(members) == [1, 2]
    inner = Query.from_(nodes).select(nodes.id).where(nodes.label == "silicon").as_("inner_one")
    assert await values(Query.from_(inner).select(inner.id).where(inner.id < 9)) == [1]
    children = Query.from_(links).select(links.output_id).where(links.type == "create")
    named = Query.with_(children, "child").from_(Table("child")).select("output_id")
    assert sorted(await values(named)) == [3, 5]
    one, two = (Query.from_(nodes).select(node_pk).where(pk == node_pk) for pk in (1, 2))
    assert sorted(await values((one + two).limit(5))) == [1, 2]
    assert await values(of_nodes.limit(2).offset(1)) == [2, 3]
    assert await values(of_nodes[1:2]) == [2, 3]


async def test_groups_of_rows_and_windows(filled):
    async def rows(query):
        return [tuple(row) for row in await filled.queries.fetch(query)]

    case = Case().when(node_pk < 2, "low").when(node_pk < 4, "middle").else_("high")
    counts = Query.from_(nodes).select(case, fn.Count("*")).groupby(case)
    assert dict(await rows(counts)) == {"low": 1, "middle": 2, "high": 2}
    day = fn.Function("date_trunc", "day", nodes.ctime).as_("day")
    days = Query.from_(nodes).select(day, fn.Count("*").as_("n")).groupby(day).orderby(day)
    assert [number for _, number in await rows(days)] == [4, 1]
    number = RowNumber().over(nodes.node_type).orderby(node_pk)
    running = Sum(nodes.id).over().orderby(node_pk).rows(Preceding(1))
    windows = Query.from_(nodes).select(number, running).orderby(node_pk)
    assert await rows(windows) == [(1, 1), (1, 3), (1, 5), (2, 7), (3, 9)]


async def test_functions(filled):
    assert await chosen(filled, nodes.label.regexp("^[Ss]ilicon")) == [1, 4]
    assert await chosen(filled, fn.RegexpLike(nodes.label, "^[Ss]ilicon")) == [1, 4]
    assert await chosen(filled, fn.Length(nodes.label) == 0) == [2]
    assert await chosen(filled, fn.Upper(nodes.label).like("SIL%")) == [1, 4]
    assert await chosen(filled, fn.Concat(nodes.label, "-", 1) == "silicon-1") == [1]
    no_process = fn.Coalesce(nodes.process_type, "none") == "none"
    assert await chosen(filled, no_process) == [1, 3, 5]
    # fn.NullIf makes null of what is equal.
    assert await chosen(filled, fn.NullIf(nodes.label, "").isnull()) == [2]
    assert await chosen(filled, nodes.label.isin(["it's", "a\\b'c"])) == [5]
    assert await chosen(filled, node_pk.isin([decimal.Decimal(3)])) == [3]
    assert await chosen(filled, nodes.uuid == "00000000-0000-4000-8000-000000000003") == [3]


async def test_json(filled):
    energy, tags, value = map(nodes.attributes.get_json_value, ("energy", "tags", "value"))
    assert await chosen(filled, energy == JSON(None)) == [2]
    assert await chosen(filled, energy == None) == [3, 4, 5]  # noqa: E711
    assert await chosen(filled, energy < 0) == [1, 2]  # in JSONB null sorts below numbers
    assert await chosen(filled, tags == ["a"]) == [1]
    assert await chosen(filled, value.isin([1, "1"])) == [2]
    label = nodes.attributes.get_path_text_value(["labels", "x"])
    assert await chosen(filled, label == "G") == [3]
    assert await chosen(filled, nodes.attributes.get_path_text_value("{labels,x}") == "G") == [3]
    part = {"value": 1, "energy": None, "x": 0}
    assert await chosen(filled, nodes.attributes.contained_by(part)) == [2, 5]
    assert await chosen(filled, nodes.attributes.has_keys(["pbc", "tags"])) == [1]
    assert await chosen(filled, nodes.attributes.has_any_keys(["pbc", "value"])) == [1, 2]
    number = fn.Cast(nodes.attributes.get_text_value("energy"), "float8")
    assert await chosen(filled, number * 2 < -2.5) == [1]


@pytest.mark.quick
async def test_times(filled):
    a_day = datetime.timedelta(days=1)
    assert await chosen(filled, nodes.ctime > SOME_TIME + a_day) == [5]
    assert await chosen(filled, nodes.ctime - SOME_TIME > a_day) == [5]
    soon = nodes.ctime.between(datetime.date(2024, 5, 18), datetime.date(2025, 1, 1))
    assert await chosen(filled, soon) == [5]
    local = fn.Cast(AtTimezone(nodes.ctime, "Pacific/Auckland"), "date")
    assert await chosen(filled, local == datetime.date(2024, 5, 19)) == [5]


async def test_a_hundred_thousand_values_are_one_parameter(filled):
    assert await chosen(filled, node_pk.isin(list(range(100_000)))) == [1, 2, 3, 4, 5]


async def test_what_the_server_refuses_is_an_error_of_ours(filled):
    with pytest.raises(DatabaseError, match="operator does not exist"):
        await chosen(filled, fn.Lower(nodes.label) == 1)


@pytest.mark.quick
async def test_rows_are_records_with_json_as_python_values(filled):
    query = Query.from_(nodes).select(nodes.id, nodes.attributes).where(node_pk == 1)
    (row,) = await filled.queries.fetch(query)
    assert row["id"] == row[0] == 1
    assert row["attributes"] == ROWS[0].attributes


@pytest.mark.quick
async def test_node_types_are_spelled_as_the_database_does(filled):
    assert await chosen(filled, nodes.node_type == "data.structure.StructureData.") == [1]
    assert await chosen(filled, nodes.node_type == "data.core.structure.StructureData.") == [1]
    other = Table("db_dbnode").as_("other")
    query = Query.from_(other).select(other.id).where(other.node_type == "data.core.int.Int.")
    assert len(await filled.queries.fetch(query)) == 3


@pytest.mark.parametrize(
    ("wrong", "what_to_do"),
    [
        (fn.Upper(nodes.label), "a criterion must be true or false"),
        (~fn.Length(nodes.label), "a criterion must be true or false"),
        ((nodes.id == 1) & Case().when(nodes.id == 1, 1).else_(2), "must be true or false"),
        (nodes.label == nodes.id, "give functions and operators what they take"),
        (fn.Upper(nodes.id) == "X", "give functions and operators what they take"),
    ],
    ids=["function", "negation", "case", "comparison", "argument"],
)
async def test_what_only_the_server_can_refuse_says_what_to_do(bare_dsn, wrong, what_to_do):
    async with aiidadb.open_backend(bare_dsn) as backend:
        query = backend.query().append("", tag="node").add_filter("node", wrong)
        for asked in (backend.queries.get_closest_parents([1], wrong), query.all()):
            with pytest.raises(DatabaseError, match=what_to_do):
                await asked
