"""Cells that Python cannot hold are None, and spoil nothing else."""

import datetime as dt
import json

import hypothesis.strategies as st
import pytest
from pypika import Query

from aiidadb import nodes
from aiidadb.connecting.rows.held_rows import fetch_held
from aiidadb.exceptions import AiidaDbError, CorruptStorage, DatabaseError
from tests.helpers.graphs import (
    SOME_TIME,
    Node,
    each_in_a_transaction,
    write_links,
    write_nodes,
    write_users,
)
from tests.helpers.json_values import TOO_DEEP, TOO_LONG

# SQL for a value, and what it is in Python.
CELLS = {
    "'-infinity'::timestamptz": None,
    "'infinity'::timestamptz": None,
    "'0044-03-15 BC'::timestamptz": None,
    "'0001-12-31 23:59:59.999999+00 BC'::timestamptz": None,
    "'0001-01-01 00:00+00'::timestamptz": dt.datetime.min.replace(tzinfo=dt.UTC),
    "'9999-12-31 23:59:59.999999+00'::timestamptz": dt.datetime.max.replace(tzinfo=dt.UTC),
    "'10000-01-01 00:00+00'::timestamptz": None,
    "'12026-01-01'::timestamptz": None,
    "'-infinity'::timestamp": None,
    "'infinity'::timestamp": None,
    "'0044-03-15 BC'::timestamp": None,
    "'0001-01-01'::timestamp": dt.datetime.min,
    "'9999-12-31 23:59:59.999999'::timestamp": dt.datetime.max,
    "'12026-01-01'::timestamp": None,
    "'-infinity'::date": None,
    "'infinity'::date": None,
    "'0044-03-15 BC'::date": None,
    "'0001-01-01'::date": dt.date.min,
    "'9999-12-31'::date": dt.date.max,
    "'12026-01-01'::date": None,
    "'24:00'::time": None,
    "'23:59:59.999999'::time": dt.time.max,
    "'24:00+05'::timetz": None,
    "'100000000 years'::interval": None,
    "'-100000000 years'::interval": None,
    "'1 day'::interval": dt.timedelta(days=1),
    f"'{TOO_DEEP}'::jsonb": None,
    f"'{TOO_DEEP}'::json": None,
    f"'[1, {TOO_LONG}]'::jsonb": None,
    f"'[1, {TOO_LONG}]'::json": None,
    "'1e400'::jsonb": 10**400,
    "'[1, \"x\"]'::jsonb": [1, "x"],
    "array['2024-05-17 09:30+00', 'infinity']::timestamptz[]": None,
    "array[null, 'infinity']::timestamptz[]": None,
    "array['2024-05-17 09:30+00', null]::timestamptz[]": [SOME_TIME, None],
    "array['0044-03-15 BC']::date[]": None,
    "array['infinity']::date[]": None,
    f"array['1', '{TOO_DEEP}']::jsonb[]": [1, None],
    "'NaN'::float8": "nan",
    "'infinity'::float8": float("inf"),
    "'x'::text": "x",
    "null::timestamptz": None,
}


@pytest.fixture
async def session(backend):
    return backend._session


def same(found, wanted):
    return (
        str(found) == wanted if wanted == "nan" else (found, type(found)) == (wanted, type(wanted))
    )


@pytest.mark.quick
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "among others"])
async def test_a_cell_that_python_cannot_hold_is_none(session, alone):
    for cell, wanted in CELLS.items():
        others = f"union all select 2, null, 'y' union all select 3, {cell}, 'z'"
        text = f"select 1 as n, {cell} as cell, 'x' as text {'' if alone else others} order by n"
        if "json" in cell and "[]" not in cell and not alone:
            text = text.replace("null, 'y'", f"null{cell[cell.rindex('::') :]}, 'y'")
        rows = await fetch_held(session, text, [])
        assert list(rows[0].keys()) == ["n", "cell", "text"]
        assert (rows[0]["n"], rows[0]["text"]) == (1, "x")
        assert same(rows[0]["cell"], wanted), cell
        if not alone:
            assert tuple(rows[1]) == (2, None, "y")
            assert same(rows[2]["cell"], wanted), cell


async def test_it_is_found_in_any_row(session):
    for at in (1, 511, 512, 513, 1500):
        text = (
            "select n, case when n >= $1::int then case when n = $1::int then 'infinity' "
            "else '2024-05-17 09:30+00' end::timestamptz end as time "
            "from generate_series(1, 1500) as one (n)"
        )
        rows = await fetch_held(session, text, [at])
        assert [row["n"] for row in rows] == list(range(1, 1501))
        assert {row["time"] for row in rows} <= {None, SOME_TIME}
        assert sum(row["time"] is None for row in rows) == at


async def test_columns_keep_their_names_and_order(session):
    text = """
        with odd as (select 'infinity'::timestamptz as time)
        select time, 1 as "a""b", 2 as "time", 3, '{"a": 1}'::jsonb as "Ü é" from odd
    """
    (row,) = await fetch_held(session, text, [])
    assert list(row.keys()) == ["time", 'a"b', "time", "?column?", "Ü é"]
    assert tuple(row) == (None, 1, 2, 3, {"a": 1})


async def test_what_cannot_be_left_out_is_told_and_the_connection_goes_on(session):
    async with session.transaction():
        with pytest.raises(CorruptStorage, match="Python cannot"):
            await fetch_held(session, "select row('0044-03-15 BC'::timestamptz) as whole", [])
        assert await fetch_held(session, "select 1 as one", [])


async def test_errors_of_the_server_and_of_values_stay_what_they_are(session):
    with pytest.raises(DatabaseError, match="division by zero"):
        await fetch_held(session, "select 1 / 0", [])
    with pytest.raises(AiidaDbError, match="invalid input for query argument"):
        await fetch_held(session, "select $1::int", ["x"])


async def test_sql_of_the_callers_own_is_decoded_as_asyncpg_does(backend):
    async with backend.connection() as connection:
        with pytest.raises(OverflowError):
            await connection.fetch("select '0044-03-15 BC'::timestamptz")
        with pytest.raises(CorruptStorage, match="nested deeper"):
            await connection.fetch(f"select '{TOO_DEEP}'::jsonb")
        await fetch_held(backend._session, f"select '{TOO_DEEP}'::jsonb", [])
        with pytest.raises(CorruptStorage, match="nested deeper"):
            await connection.fetch(f"select '{TOO_DEEP}'::jsonb")


# ---------------------------------------------------------------- what callers ask


async def write_odd_nodes(backend):
    """Nodes 1 to 4, each the input of the next: usual, too deep, before Christ, never."""
    session = backend._session
    await write_users(session)
    await write_nodes(
        session, [Node(pk, attributes={"a": pk}) for pk in (1, 2, 3, 4)], line=backend.version.line
    )
    await write_links(session, [(1, 2, "create"), (2, 3, "create"), (3, 4, "create")])
    await session.execute(
        "update db_dbnode set attributes = $1::text::jsonb where id = 2", f'{{"a": {TOO_DEEP}}}'
    )
    await session.execute("update db_dbnode set ctime = '0044-03-15 BC' where id = 3")
    await session.execute(
        "update db_dbnode set ctime = 'infinity', mtime = '-infinity' where id = 4"
    )


@pytest.mark.quick
async def test_a_query_of_the_callers_own_has_none_for_it(backend):
    await write_odd_nodes(backend)
    wanted = [
        (1, SOME_TIME, SOME_TIME, {"a": 1}),
        (2, SOME_TIME, SOME_TIME, None),
        (3, None, SOME_TIME, {"a": 3}),
        (4, None, None, {"a": 4}),
    ]
    query = Query.from_(nodes).select(nodes.id, nodes.ctime, nodes.mtime, nodes.attributes)
    fetch = backend.queries.fetch
    assert [tuple(row) for row in await fetch(query.orderby(nodes.id))] == wanted
    assert [tuple(row) for row in await fetch(query.orderby(nodes.id).limit(1))] == wanted[:1]
    for pk in (2, 3, 4):
        (row,) = await fetch(query.where(nodes.id == pk))
        assert tuple(row) == wanted[pk - 1]
    times = Query.from_(nodes).select(nodes.id, nodes.ctime)
    united = times.where(nodes.id == 3) + times.where(nodes.id == 1)
    assert {row["id"]: row["ctime"] for row in await fetch(united)} == {1: SOME_TIME, 3: None}


@pytest.mark.quick
async def test_ancestors_have_none_for_it(backend):
    await write_odd_nodes(backend)
    found = await backend.queries.get_all_parents([4], ("id", "ctime", "attributes.a"))
    assert found == [(1, SOME_TIME, 1), (2, SOME_TIME, None), (3, None, 3)]


async def test_it_is_seen_and_left_out_inside_a_transaction(backend):
    async with backend.transaction():
        await write_odd_nodes(backend)
        query = Query.from_(nodes).select(nodes.id, nodes.ctime, nodes.attributes)
        rows = await backend.queries.fetch(query.orderby(nodes.id))
        assert [row["ctime"] for row in rows] == [SOME_TIME, SOME_TIME, None, None]
        assert [row["attributes"] for row in rows] == [{"a": 1}, None, {"a": 3}, {"a": 4}]
    assert len(await backend.queries.fetch(query)) == 4


TIMES = st.sampled_from(["-infinity", "infinity", "0044-03-15 BC", "12026-01-01"]) | st.datetimes(
    timezones=st.just(dt.UTC)
)
VALUES = st.sampled_from([TOO_DEEP, TOO_LONG, "[1]", "1e400"]) | st.integers().map(str)


@pytest.mark.hypothesis
async def test_all_that_can_be_held_is_there_whatever_else_is(backend):
    async def check(cells):
        session = backend._session
        await write_users(session)
        await write_nodes(session, map(Node, range(1, len(cells) + 1)), line=backend.version.line)
        await session.execute(
            "update db_dbnode set ctime = given.time::timestamptz, attributes = given.value::jsonb "
            "from unnest($1::text[], $2::text[]) with ordinality as given (time, value, pk) "
            "where id = given.pk",
            [time if isinstance(time, str) else time.isoformat() for time, _ in cells],
            [value for _, value in cells],
        )
        query = Query.from_(nodes).select(nodes.ctime, nodes.attributes).orderby(nodes.id)
        found = [tuple(row) for row in await backend.queries.fetch(query)]
        odd = {TOO_DEEP: None, TOO_LONG: None, "1e400": 10**400}
        assert found == [
            (
                None if isinstance(time, str) else time,
                odd[value] if value in odd else json.loads(value),
            )
            for time, value in cells
        ]

    await each_in_a_transaction(
        backend, check, st.lists(st.tuples(TIMES, VALUES), max_size=8), count=20
    )
