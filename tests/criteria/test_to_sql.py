"""What pypika built comes out with every value as a parameter, and means what was written."""

import datetime
import enum
import math
import operator
import re
import uuid

import hypothesis
import hypothesis.strategies as st
import pytest
from pypika import Case, Criterion, Interval, JoinType, Order, Query, Table
from pypika import functions as fn
from pypika.analytics import Preceding, Sum
from pypika.terms import (
    JSON,
    Array,
    AtTimezone,
    Negative,
    NullValue,
    Parameter,
)

import aiidadb
from aiidadb import nodes
from aiidadb.criteria.selection import is_select
from aiidadb.criteria.tables import groups, links
from aiidadb.criteria.to_sql import bind
from aiidadb.exceptions import InvalidInputError, InvalidTypeError

pytestmark = pytest.mark.quick

PLACEHOLDER = re.compile(r"\$\d+(?:::[a-z0-9]+(?:\[\])?)*")


def literals(text):
    """Digits and quotes that stand in SQL other than in placeholders: values, that is."""
    return re.findall(r"[0-9'][^\s()]*", PLACEHOLDER.sub("", text))


# ---------------------------------------------------------------- no value in the text

VALUES = (
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | st.decimals()
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.dates()
    | st.timedeltas()
    | st.uuids()
)
# Values that are recognised wherever they come up again.
TELLTALES = st.one_of(
    st.integers(10**6, 10**9),
    st.floats(1e3, 1e9),
    st.from_regex(r"['\"\\;$%_-]+[0-9]{6}", fullmatch=True),
)
TEXTS = st.from_regex(r"['\"\\;$%_-]*[0-9]{6}", fullmatch=True)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
THEIRS = Table("theirs")  # its columns may be of any type
LEAVES = st.one_of(
    st.builds(operator.eq, st.just(THEIRS.label), TELLTALES),
    st.builds(operator.lt, st.just(THEIRS.id), TELLTALES),
    st.builds(lambda value: value == nodes.id + value, TELLTALES),
    st.builds(nodes.label.like, TEXTS),
    st.builds(nodes.label.not_ilike, TEXTS),
    st.builds(nodes.label.regex, TEXTS),
    st.builds(THEIRS.id.between, TELLTALES, TELLTALES),
    st.builds(nodes.label.isin, st.lists(TEXTS, min_size=1)),
    st.builds(nodes.id.notin, st.sets(st.integers(10**6, 10**9))),
    st.builds(nodes.attributes.contains, JSONS.filter(lambda value: not isinstance(value, str))),
    st.builds(nodes.attributes.has_key, TEXTS),
    st.builds(nodes.attributes.has_any_keys, st.lists(TEXTS)),
    st.builds(lambda key, value: nodes.extras.get_text_value(key) == value, TEXTS, TEXTS),
    st.builds(lambda key, value: nodes.extras.get_json_value(key) != value, TEXTS, JSONS),
    st.builds(
        lambda path, value: nodes.extras.get_path_text_value(path) > value,
        st.lists(TEXTS, min_size=1), TEXTS,
    ),
    st.builds(lambda one, two: fn.Concat(nodes.label, one, two) == two, TEXTS, TEXTS),
    st.builds(
        lambda one, two: Case().when(THEIRS.id > one, two).else_(one) == two, TELLTALES, TELLTALES
    ),
    st.builds(
        lambda one, number: nodes.id.isin(
            Query.from_(links)
            .join(groups, JoinType.left).on(groups.label == one)
            .select(links.output_id, number)
            .where(links.label == one)
            .groupby(links.output_id)
            .having(fn.Count("*") > number)
            .orderby(fn.Coalesce(links.output_id, number), order=Order.desc)
            .limit(number)
            .offset(number)
        ),
        TEXTS, st.integers(10**6, 10**9),
    ),
    st.builds(
        lambda zone, value: AtTimezone(nodes.ctime, zone) > value,
        TEXTS, st.datetimes(timezones=st.just(datetime.UTC)),
    ),
    st.builds(
        lambda days: nodes.ctime > fn.Now() - Interval(days=days, hours=days),
        st.integers(10**6, 10**9),
    ),
    st.builds(lambda one: nodes.id.bitwiseand(one) == one, st.integers(10**6, 10**9)),
)  # fmt: skip
CRITERIA = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(operator.and_, inner, inner),
        st.builds(operator.or_, inner, inner),
        st.builds(operator.xor, inner, inner),
        st.builds(operator.invert, inner),
        st.builds(operator.eq, inner, inner),
        st.builds(lambda one: one.isnull(), inner),
    ),
    max_leaves=6,
)


@hypothesis.given(CRITERIA, st.integers(1, 50))
def test_no_value_is_in_the_text_and_every_one_is_a_parameter(criterion, first):
    before = criterion.get_sql(with_namespace=True, subquery=True)
    text, values = bind(criterion, first=first)
    assert literals(text) == []
    numbers = {int(number) for number in re.findall(r"\$(\d+)", text)}
    assert numbers == set(range(first, first + len(values)))
    assert criterion.get_sql(with_namespace=True, subquery=True) == before, "it was changed"


@hypothesis.given(VALUES)
def test_any_value_is_a_parameter(value):
    text, values = bind(nodes.field("x") == value)
    assert re.fullmatch(r'"db_dbnode"."x"=\$1::\w+', text)
    assert values == [value] or math.isnan(value)


def test_what_is_sql_by_intention_stays():
    term = fn.Cast(fn.Extract("year", nodes.ctime), "int4") + Criterion.any([nodes.id == 1])
    text, values = bind(term)
    assert "EXTRACT(year FROM" in text
    assert "AS INT4" in text
    assert values == [1]


# ---------------------------------------------------------------- it means what was written


class Number(enum.Enum):
    FOUR = 4


def test_what_is_shared_is_one_parameter():
    # Otherwise the server would not know the one for the other.
    day = fn.Concat(nodes.label, "x")
    text, values = bind(Query.from_(nodes).select(day, fn.Count("*")).groupby(day))
    assert values == ["x"]
    assert text.count("$1::text") == 2


@pytest.mark.parametrize(
    ("term", "text", "values"),
    [
        (nodes.label == "a", '"label"=$1::text', ["a"]),
        (nodes.label == None, '"label" IS NULL', []),  # noqa: E711
        (nodes.label != None, '"label" IS NOT NULL', []),  # noqa: E711
        (nodes.id == Number.FOUR, '"id"=$1::int', [4]),
        (nodes.id == 2**31, '"id"=$1::bigint', [2**31]),
        (nodes.id - (-nodes.id), '"id"-(-"id")', []),
        (Negative(-nodes.id), '-(-"id")', []),
        (nodes.id * (nodes.id / 2), '"id"*("id"/$1::int)', [2]),
        (nodes.id / (nodes.id * 2), '"id"/("id"*$1::int)', [2]),
        ((nodes.id == 1) == True, '("id"=$1::int)=$2::boolean', [1, True]),  # noqa: E712
        (~(nodes.id == 1), 'NOT "id"=$1::int', [1]),
        (~((nodes.id == 1) & (nodes.id == 2)), 'NOT ("id"=$1::int AND "id"=$2::int)', [1, 2]),
        ((nodes.id == 1) ^ (nodes.id == 2), '("id"=$1::int)<>("id"=$2::int)', [1, 2]),
        (nodes.id.isin([1, 2**40]), '"id" IN (select unnest($1::bigint[]))', [[1, 2**40]]),
        (nodes.id.isin([]), "false", []),
        (nodes.id.notin([]), "true", []),
        (nodes.label.isin([]), "false", []),
        (nodes.uuid.isin([str(uuid.UUID(int=1))]), '"uuid" IN (select unnest($1::uuid[]))',
         [[uuid.UUID(int=1)]]),
        (nodes.label.regex("^a"), '"label" ~ $1::text', ["^a"]),
        (nodes.attributes.has_keys(["a", "b"]), '"attributes"?&$1::text[]', [["a", "b"]]),
        (nodes.attributes.get_json_value("a") == 1.0, '("attributes"->$1::text)=$2::text::jsonb',
         ["a", "1.0"]),
        (nodes.attributes.get_path_text_value("{a,b}") == "x",
         '("attributes"#>>$1::text::text[])=$2::text', ["{a,b}", "x"]),
        (nodes.ctime > fn.Now() - Interval(days=1, hours=-2),
         '"ctime">(NOW()-$1::text::interval)', ["1 days 2 hours"]),
        (nodes.ctime > fn.Now() - Interval(quarters=2),
         '"ctime">(NOW()-$1::text::interval)', ["6 months"]),
        (AtTimezone(nodes.ctime, "Europe/Zurich"), 'timezone($1::text,"ctime")', ["Europe/Zurich"]),
        (fn.RegexpLike(nodes.label, "a"), 'REGEXP_LIKE("label",$1::text)', ["a"]),
        (Criterion.all([]), "true", []),
        (Array(1, 2), "$1::int[]", [[1, 2]]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_how_things_are_written(term, text, values):
    found, bound = bind(term)
    assert (found.replace('"db_dbnode".', ""), bound) == (text, values)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("label = 'x'", "pypika"),
        (nodes, "pypika"),
        (nodes.label == "a\x00", "NUL"),
        (nodes.label == "\udfff", "surrogate"),
        (nodes.label.isin(["a", "b\x00"]), "NUL"),
        (nodes.label.like("\ud800%"), "surrogate"),
        (nodes.attributes.contains({"a": "\x00"}), "NUL"),
        (nodes.attributes.contains({"a": math.nan}), "nan"),
        (nodes.attributes.contains({"a": {1, 2}}), "set"),
        (nodes.attributes.contains('{"a": 1}'), "dict or list itself"),
        (nodes.attributes.has_key("\x00"), "NUL"),
        (nodes.attributes.get_path_json_value(["a", "\x00"]), "NUL"),
        (nodes.attributes.has_keys(["\x00"]), "NUL"),
        (nodes.id == 2**63, "64 bits"),
        (nodes.id.isin([1, 2**63]), "64 bits"),
        (nodes.ctime > datetime.datetime(2024, 1, 1), "time zone"),
        (nodes.ctime > "2024-01-01", "datetime"),
        (nodes.uuid == "no uuid", "not a valid UUID"),
        (nodes.label == b"bytes", "bytes"),
        pytest.param(nodes.label == object(), "object", id="object"),
        (nodes.label == {"a": 1}, "dict"),
        (nodes.id.isin([1, None]), "isnull"),
        (nodes.id.isin([1, "2"]), "several types"),
        (nodes.id == Parameter("$1"), "value itself"),
        (nodes.label.glob("a*"), "GLOB"),
        (nodes.label.as_of("a"), "AS OF"),
        (Query.from_(nodes).select(nodes.id).limit("1; drop table db_dbnode"), "limit"),
        (Query.from_(nodes).select(nodes.id).limit(-1), "limit"),
        (Query.from_(nodes).select(nodes.id).offset(1.5), "offset"),
        (Sum(nodes.id).over().rows(Preceding("1); drop table db_dbnode --")), "frame"),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_refused(term, message):
    with pytest.raises(InvalidInputError, match=message):
        bind(term)


@pytest.mark.parametrize(
    "query",
    [
        Query.update(nodes).set(nodes.label, "x"),
        Query.from_(nodes).delete(),
        Query.into(nodes).insert(1),
        Query.from_(nodes).select(nodes.id).into(Table("copy")),
        Query.with_(Query.from_(nodes).delete(), "gone").from_(nodes).select(nodes.id),
        Query.from_(nodes),
        nodes.id == 1,
        nodes,
        "select 1",
        None,
    ],
    ids=str,
)
async def test_fetch_takes_queries_that_only_select(bare_dsn, query):
    assert not is_select(query)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match="select"):
            await backend.queries.fetch(query)


async def test_fetch_says_where_sql_goes(bare_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        for given, shown in (("select 1", "text"), (5, "5"), (nodes, "Table")):
            said = rf"^fetch\(\) takes a pypika query, not {shown}.*runs on backend.connection\(\)$"
            with pytest.raises(InvalidTypeError, match=said):
                await backend.queries.fetch(given)


def test_null_stays_null():
    assert bind(fn.Coalesce(nodes.label, NullValue())) == ('COALESCE("db_dbnode"."label",null)', [])


# ------------------------------------------------------------- names, numbers and depth


def test_a_name_that_postgresql_cannot_hold_is_refused():
    for name in ("a\0b", "a\ud800b"):
        with pytest.raises(InvalidInputError, match="the criterion, in a name"):
            bind(nodes.field(name) == 1)


@pytest.mark.parametrize("first", [0, -1, 32_768, 10**400])
def test_the_number_of_the_first_parameter_is_one_that_can_be(first):
    with pytest.raises(InvalidInputError):
        bind(nodes.id == 1, first=first)


@pytest.mark.parametrize("first", ["1", 1.0, True, None])
def test_the_number_of_the_first_parameter_is_a_number(first):
    with pytest.raises(InvalidTypeError):
        bind(nodes.id == 1, first=first)


def joined(count):
    criterion = nodes.id == 0
    for number in range(1, count):
        criterion |= nodes.id == number
    return criterion


def test_many_criteria_can_be_joined_but_not_without_end():
    # Half of what a whole stack holds.
    text, values = bind(joined(50))
    assert len(values) == 50
    assert text.count(" OR ") == 49
    with pytest.raises(InvalidInputError, match="nested too deep"):
        bind(joined(5000))


def test_a_value_may_be_nested_as_deep_as_json_may_be():
    value = []
    for _ in range(298):
        value = [value]
    _, values = bind(nodes.attributes == JSON(value))
    assert values == ["[" * 299 + "]" * 299]
