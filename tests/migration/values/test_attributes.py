"""Step 0037: attributes, extras and settings of one row an item become JSON."""

from __future__ import annotations

import asyncio
import datetime
import importlib
import json
import math
import random
import struct
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.options import MigrationOptions
from aiidadb.migration.python_step import StepContext
from aiidadb.migration.values import attribute_shapes as nesting
from aiidadb.migration.values import attributes as eav
from aiidadb.migration.values import node_slices
from tests.helpers.attribute_rows import EavRow, Value, add_node, add_rows, rows_of
from tests.helpers.catalog import describe
from tests.helpers.examples import examples
from tests.helpers.real_databases import load_schema
from tests.helpers.single_steps import database_at, django_steps, prelude, run_step
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from aiidadb.migration.python_step import StepOutcome
    from tests.helpers.databases import Databases
    from tests.migration.conftest import At

Connection = asyncpg.Connection

UTC: Final = datetime.UTC
MODULE: Final = (
    "aiida.storage.psql_dos.migrations.versions.django_0037_attributes_extras_settings_json"
)


async def migrate(connection: Connection) -> StepOutcome:
    _exported, outcome = await run_step(connection, 37)
    return outcome


async def documents(connection: Connection) -> dict[int, tuple[str | None, str | None]]:
    """The text of attributes and extras of every node."""
    rows = await connection.fetch(
        "select id, attributes::text as attributes, extras::text as extras from db_dbnode"
    )
    return {row["id"]: (row["attributes"], row["extras"]) for row in rows}


async def text_of(connection: Connection, value: Value) -> str:
    """The text of the JSONB that AiiDA makes of a value."""
    return await connection.fetchval("select $1::text::jsonb::text", json.dumps(plain(value)))


def plain(value: Value) -> object:
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case datetime.datetime():
            return value.astimezone(UTC).isoformat()
        case float() if not math.isfinite(value):
            return str(value)
    return value


async def assert_comes_back(
    connection: Connection, stored: Mapping[int, Mapping[str, Value]]
) -> None:
    found = await documents(connection)
    for node, values in stored.items():
        assert found[node][0] == await text_of(connection, dict(values))


# ------------------------------------------------------------------ values


# Values, and what stands for them in the document; None: what json.dumps() writes, no more.
WRITTEN: Final[list[tuple[Value, str | None]]] = [
    (None, "null"),
    (True, "true"),
    (False, "false"),
    (0, "0"),
    (-(2**31), "-2147483648"),
    (3.0, "3.0"),
    (-0.0, "0.0"),  # as PostgreSQL reads -0.0
    (0.1, "0.1"),
    (1e-7, "0.0000001"),
    (1e15, "1000000000000000.0"),
    (1234567890123456.5, "1234567890123456.5"),
    (9007199254740993.0, "9007199254740992.0"),
    (1e16, "10000000000000000"),
    (1e23, "100000000000000000000000"),  # PostgreSQL itself writes 9.999999999999999e+22
    (-1e23, "-100000000000000000000000"),
    (20000000000000010.0, "20000000000000010"),
    (1e300, "1" + 300 * "0"),
    (math.nan, '"nan"'),
    (math.inf, '"inf"'),
    (-math.inf, '"-inf"'),
    ("", '""'),
    ('Å "q" \\ /\n\t\x7f % %s %1$s \x01 😀 \' $$', None),
    ("null", '"null"'),
    ("\\u0000", '"\\\\u0000"'),
    ([], "[]"),
    ({}, "{}"),
    ([[], {}, [[]], [None]], "[[], {}, [[]], [null]]"),
    ({"0": {"0": [0]}}, '{"0": {"0": [0]}}'),
    ({"a": [1], "a-b": 2, "a b": 3, "ab": 4}, None),
    (datetime.datetime(2017, 3, 4, 5, 6, 7, tzinfo=UTC), '"2017-03-04T05:06:07+00:00"'),
    (
        datetime.datetime(2017, 3, 4, 5, 6, 7, 89000, tzinfo=UTC),
        '"2017-03-04T05:06:07.089000+00:00"',
    ),
    (
        datetime.datetime(
            2017, 12, 31, 23, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=-1))
        ),
        '"2018-01-01T00:30:00+00:00"',
    ),
    (datetime.datetime(33, 4, 3, tzinfo=UTC), '"0033-04-03T00:00:00+00:00"'),
    (
        datetime.datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC),
        '"9999-12-31T23:59:59.999998+00:00"',
    ),
]


async def test_a_value_becomes_the_text_that_aiida_makes_of_it(at: At) -> None:
    connection = await at(36)
    nodes = [await add_node(connection, {"key": value}, {"k": value}) for value, _ in WRITTEN]

    await migrate(connection)

    found = await documents(connection)
    for node, (value, expected) in zip(nodes, WRITTEN, strict=True):
        text = await text_of(connection, {"key": value})
        assert found[node] == (text, text.replace('"key"', '"k"', 1))
        if expected is not None:
            assert text == f'{{"key": {expected}}}'


async def test_the_text_of_no_float_differs_from_pythons(at: At) -> None:
    connection = await at(36)
    await migrate(connection)  # the function stays in the session
    draw = random.Random(37)
    numbers = [struct.unpack("<d", draw.randbytes(8))[0] for _ in range(20_000)]
    # Integers of few digits, halfway between two floats among them.
    numbers += [float(draw.getrandbits(54) * 10**power) for power in range(25) for _ in range(200)]
    numbers += [float(f"{digits}e{power}") for digits in range(1, 100) for power in range(-9, 60)]
    numbers += [
        float(f"{draw.getrandbits(bits)}e{power}") for bits in range(4, 54) for power in range(60)
    ]
    numbers += [
        sign * limit
        for limit in (sys.float_info.max, sys.float_info.min, 5e-324)
        for sign in (1, -1)
    ]
    numbers += [draw.uniform(-1e17, 1e17) for _ in range(5_000)]

    different = await connection.fetch(
        """
        select given.number, given.expected, pg_temp.aiidadb_float(given.number) as found
        from unnest($1::double precision[], $2::text[]) as given (number, expected)
        where pg_temp.aiidadb_float(given.number)::jsonb::text <> given.expected::jsonb::text
        """,
        numbers,
        [json.dumps(plain(number)) for number in numbers],
    )

    assert different == []


async def test_the_time_zone_and_other_settings_of_the_server_do_not_matter(at: At) -> None:
    connection = await at(36)
    moment = datetime.datetime(2017, 7, 4, 5, 6, 7, tzinfo=UTC)
    values: dict[str, Value] = {"time": moment, "number": 0.1 + 0.2}
    node = await add_node(connection, values)
    await connection.execute(
        """
        set timezone = 'Asia/Kolkata';
        set datestyle = 'SQL, DMY';
        set synchronize_seqscans = on;
        """
    )

    await migrate(connection)

    await assert_comes_back(connection, {node: values})


async def test_rows_without_a_number_or_a_time_are_null(at: At) -> None:
    connection = await at(36)
    node = await add_node(connection)
    rows = [EavRow(kind, kind) for kind in ("int", "bool", "date")]
    await add_rows(connection, node, rows)

    await migrate(connection)

    assert (await documents(connection))[node][0] == '{"int": null, "bool": null, "date": null}'


# ------------------------------------------------------------------ nesting

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
KEYS = st.one_of(
    st.sampled_from(
        ["", "0", "1", "10", "a", "a-b", "%", "%1$s", '"', "\\", "{", "=", "?x", "[2 x"]
    ),
    TEXTS.map(lambda text: text.replace(".", "·")),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.floats(),
    TEXTS,
    # asyncpg takes the first and the last for infinities.
    st.datetimes(
        datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 31), timezones=st.just(UTC)
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda items: st.one_of(st.lists(items, max_size=12), st.dictionaries(KEYS, items, max_size=4)),
    max_leaves=25,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=5)


# An example is a database: there is no time to make one that fails smaller.
WITH_DATABASE: Final = settings(
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest_asyncio.fixture
async def connection(at: At) -> Connection:
    """To a database at 1.0.36; one for all examples of a test."""
    return await at(36)


@settings(WITH_DATABASE, max_examples=examples(4))
@given(
    stored=st.lists(st.tuples(DOCUMENTS, DOCUMENTS), min_size=1, max_size=8), twice=st.booleans()
)
async def test_any_values_come_back_equal_in_text(
    connection: Connection, stored: list[tuple[dict[str, Value], dict[str, Value]]], twice: bool
) -> None:
    outer = connection.transaction()
    await outer.start()
    try:
        expected = {
            await add_node(connection, attributes, extras): (attributes, extras)
            for attributes, extras in stored * (1 + twice)
        }
        await connection.execute("set constraints all immediate")  # the nodes' users
        await migrate(connection)
        found = await documents(connection)
        for node, (attributes, extras) in expected.items():
            assert found[node] == (
                await text_of(connection, attributes),
                await text_of(connection, extras),
            )
    finally:
        await outer.rollback()


@pytest.mark.quick
async def test_lists_of_more_than_ten_items_keep_their_order(at: At) -> None:
    connection = await at(36)
    values: dict[str, Value] = {
        "numbers": list(range(1234)),
        "positions": [[float(i), 0.5, -i] for i in range(120)],
    }
    node = await add_node(connection, values)

    await migrate(connection)

    await assert_comes_back(connection, {node: values})


async def test_the_order_of_the_rows_does_not_matter(at: At) -> None:
    connection = await at(36)
    values: dict[str, Value] = {"b": {"y": [1, {"z": 2.0}]}, "a": [[0, 1], [2, 3]], "c": "text"}
    draw = random.Random(1)
    stored = {}
    for _ in range(20):
        node = await add_node(connection)
        rows = rows_of(values)
        draw.shuffle(rows)
        await add_rows(connection, node, rows)
        stored[node] = values

    await migrate(connection)

    await assert_comes_back(connection, stored)


@pytest.mark.quick
async def test_keys_may_be_as_long_as_the_column(at: At) -> None:
    connection = await at(36)
    node = await add_node(connection, {"ü" * 1024: 1})
    keys = ["x" + ".0" * depth for depth in range(512)]  # the last has 1023 characters
    await add_rows(connection, node, [EavRow(key, "list", ival=1) for key in keys[:-1]])
    await add_rows(connection, node, [EavRow(keys[-1], "float", fval=1.0)])

    await migrate(connection)

    deep = "[" * 511 + "1.0" + "]" * 511
    assert (await documents(connection))[node][0] == f'{{"x": {deep}, "{"ü" * 1024}": 1}}'


@pytest.mark.quick
async def test_items_of_a_list_without_a_row_are_null(at: At) -> None:
    connection = await at(36)
    node = await add_node(connection)
    rows = [row for row in rows_of({"list": [1, 2, 3], "none": [1, 2]}) if row.ival == 2]
    await add_rows(connection, node, [EavRow("list", "list", ival=3), *rows])

    await migrate(connection)

    assert (await documents(connection))[node][0] == (
        '{"list": [null, 2, null], "none": [null, 2]}'
    )


# ------------------------------------------------------------------ nodes and tables


async def test_nodes_without_rows_get_empty_documents(at: At) -> None:
    connection = await at(36)
    nodes = [
        await add_node(connection),
        await add_node(connection, {"a": 1}),
        await add_node(connection, None, {"b": 1}),
    ]

    outcome = await migrate(connection)

    found = await documents(connection)
    assert [found[node] for node in nodes] == [("{}", "{}"), ('{"a": 1}', "{}"), ("{}", '{"b": 1}')]
    assert outcome.rows == 3 + 1  # the setting is the schema's version
    assert outcome.notes == ()


async def test_an_empty_database_is_migrated(at: At) -> None:
    connection = await at(36)

    outcome = await migrate(connection)

    assert await documents(connection) == {}
    assert outcome.rows == 1


async def test_the_step_counts_its_rows_beforehand(at: At) -> None:
    connection = await at(36)
    for _ in range(3):
        await add_node(connection, {"a": 1})
    counted = await connection.fetchval(str(django_steps()[37].header("rows")))

    assert (await migrate(connection)).rows == counted == 4


@pytest.fixture
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_slices, "_SLICE_SIZE", 3)
    monkeypatch.setattr(node_slices, "_SLICES_A_SET", 2)
    monkeypatch.setattr(node_slices, "_SAMPLE_SIZE", 4)
    monkeypatch.setattr(eav, "_SHAPES_AT_ONCE", 2)
    monkeypatch.setattr(eav, "_ODD_NODES_AT_ONCE", 2)


async def test_many_sets_of_nodes_are_made_one_after_the_other(at: At, small_sets: None) -> None:
    connection = await at(36)
    stored: dict[int, dict[str, Value]] = {}
    for number in range(60):
        # Some shapes are common, some are of one node alone.
        values: dict[str, Value] = {"number": number, f"key{number % 7}": [0.5] * (number % 4)}
        if number % 5 == 0:
            values[f"own {number}"] = {"x": [number]}
        stored[await add_node(connection, values, {"hash": str(number)})] = values
    # Gaps between the ids, and rows that are not in the order of the ids.
    gone = sorted(stored)[10:25]
    for table in ("db_dbattribute", "db_dbextra"):
        await connection.execute(f"delete from {table} where dbnode_id = any ($1::int[])", gone)
    await connection.execute("delete from db_dbnode where id = any ($1::int[])", gone)
    for node in gone:
        del stored[node]
    await connection.execute("update db_dbnode set label = 'x' where id % 3 = 0")
    told: list[tuple[str, int, int | None]] = []

    await run_with_progress(connection, told)

    await assert_comes_back(connection, stored)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert (told[0][1], told[-1][1], len(told)) == (0, 45, 9)
    assert {(what, total) for what, _, total in told} == {
        ("attributes and extras converted to JSON", 45)
    }


async def test_there_are_no_more_sets_than_the_server_has_locks_for(
    at: At, small_sets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(36)
    stored: dict[int, dict[str, Value]] = {}
    for number in range(25):
        stored[await add_node(connection, {"number": number})] = {"number": number}
    monkeypatch.setattr(node_slices, "_SLICES_AT_MOST", 4)
    told: list[tuple[str, int, int | None]] = []

    await run_with_progress(connection, told)

    await assert_comes_back(connection, stored)
    assert len(told) == 3


async def run_with_progress(
    connection: Connection, told: list[tuple[str, int, int | None]]
) -> None:
    """Run the step's statements while another session listens."""
    await connection.execute(prelude())
    async with connection.transaction():
        before, after = django_steps()[37].text.split("-- call: build_json_from_eav\n")
        await connection.execute(before)
        await eav.BUILD_JSON_FROM_EAV.run(
            StepContext(connection, MigrationOptions(), progress=lambda *heard: told.append(heard))
        )
        await connection.execute(after)


async def test_a_shape_is_nested_once_for_all_nodes_that_have_it(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(36)
    draw = random.Random(2)
    for number in range(50):
        rows = rows_of({"value": float(number), "cell": [[1.0, number]], "a": 1, "b-c": None})
        draw.shuffle(rows)  # AiiDA stored some rows later than others
        await add_rows(connection, await add_node(connection), rows)
    nested = []
    nest = eav.nest

    def counting_nest(tokens: Sequence[str]) -> str:
        nested.append(tokens)
        return nest(tokens)

    monkeypatch.setattr(eav, "nest", counting_nest)

    await migrate(connection)

    assert len(nested) == 1


async def test_templates_are_forgotten_where_there_are_too_many(at: At, small_sets: None) -> None:
    connection = await at(36)
    stored: dict[int, dict[str, Value]] = {}
    for number in range(40):
        values: dict[str, Value] = {f"key {number // 2}": number}
        stored[await add_node(connection, values)] = values
    step = django_steps()[37].text
    assert "> 10000" in step
    few = step.replace("> 10000", "> 2")
    before, after = few.split("-- call: build_json_from_eav\n")
    await connection.execute(prelude())
    async with connection.transaction():
        await connection.execute(before)
        context = StepContext(connection, MigrationOptions(), lambda *_heard: None)
        await eav.BUILD_JSON_FROM_EAV.run(context)
        left = await connection.fetchval("select count(*) from aiidadb_template")
        await connection.execute(after)

    await assert_comes_back(connection, stored)
    assert left <= 2


async def test_the_table_of_nodes_stays_the_one_it_was(at: At) -> None:
    connection = await at(36)
    node = await add_node(connection, {"a": 1})
    facts = """
        select
            'db_dbnode'::regclass::oid::bigint as identity,
            (select array_agg(mtime::text || label) from db_dbnode) as rows,
            (
                select array_agg(conname::text order by conname)
                from pg_constraint
                where confrelid = 'db_dbnode'::regclass
                  and conrelid::regclass::text not in ('db_dbattribute', 'db_dbextra')
            ) as referring,
            (
                select array_agg(indexname::text order by indexname)
                from pg_indexes
                where tablename = 'db_dbnode'
            ) as indexes
    """
    before = await connection.fetchrow(facts)

    await migrate(connection)

    assert await connection.fetchrow(facts) == before
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute(
            """
            insert into db_dblink (input_id, output_id, label, type) values ($1, $1 + 1, '', '')
            """,
            node,
        )


async def test_the_schema_after_the_step_is_aiidas(at: At, databases: Databases) -> None:
    connection = await at(37)
    dsn = await load_schema(databases, "django_0037")
    other = await asyncpg.connect(dsn)
    try:
        ours, theirs = await describe(connection, names=False), await describe(other, names=False)
    finally:
        await other.close()
        await databases.drop(dsn)
    # aiida-core 2.9.4's tables of Django are stubs, as it makes them to drop them.
    for tables in (ours, theirs):
        for table in [name for name in tables if name.startswith(("auth_", "django_"))]:
            del tables[table]
    assert ours == theirs


async def test_nothing_of_the_work_is_left(at: At) -> None:
    connection = await at(36)
    await add_node(connection, {"a": 1})

    await migrate(connection)

    left = await connection.fetch(
        "select oid::regclass::text from pg_class where relname like '%aiidadb%'"
    )
    assert left == []
    assert await connection.fetchval("select count(*) from pg_cursors where name <> ''") == 0


async def test_a_role_that_is_no_superuser_can_run_it(databases: Databases) -> None:
    dsn = await database_at(databases, 36)
    connection = await asyncpg.connect(dsn)
    try:
        node = await add_node(connection, {"a": [1.0]})
        database = await connection.fetchval("select current_database()")
        role = f"ada_{node}_{random.getrandbits(32)}"
        await connection.execute(f'create role "{role}"')
        try:
            await connection.execute(
                f"""
                grant temporary on database "{database}" to "{role}";
                grant all on schema public to "{role}";
                do $$
                declare
                    owned name;
                begin
                    for owned in select tablename from pg_tables where schemaname = 'public' loop
                        execute format('alter table %I owner to "{role}"', owned);
                    end loop;
                end
                $$;
                set role "{role}";
                """
            )
            await migrate(connection)
            assert (await documents(connection))[node] == ('{"a": [1.0]}', "{}")
        finally:
            await connection.execute("reset role")
            await connection.execute(f'drop owned by "{role}" cascade')
            await connection.execute(f'drop role "{role}"')
    finally:
        await connection.close()
        await databases.drop(dsn)


async def test_a_dry_run_leaves_everything_as_it_was(at: At) -> None:
    connection = await at(36)
    await add_node(connection, {"a": [1, 2]}, {"b": 1})
    before = await describe(connection)

    await run_step(connection, 37, dry_run=True)

    assert await describe(connection) == before
    assert await connection.fetchval("select count(*) from db_dbattribute") == 3


# ------------------------------------------------------------------ rows that AiiDA cannot read


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([EavRow("a.b", "int", ival=1)], "key 'a.b': there is no row for 'a' on its path"),
        (
            [EavRow("a", "dict", ival=1), EavRow("a.b.c", "int", ival=1)],
            "key 'a.b.c': there is no row for 'b' on its path",
        ),
        (
            [EavRow("a", "list", ival=1), EavRow("a.1", "int", ival=1)],
            "key 'a.1': a list of 1 has no item 1",
        ),
        (
            [EavRow("a", "list", ival=1), EavRow("a.x", "int", ival=1)],
            "key 'a.x': 'x' is not a list index",
        ),
        (
            [EavRow("a", "list", ival=2), EavRow("a.1", "int"), EavRow("a.01", "int")],
            "key 'a.1': there are two rows for this item of a list",
        ),
        (
            [EavRow("a", "int", ival=1), EavRow("a.b", "int", ival=1)],
            "key 'a.b': it is inside something that is neither a list nor a dict",
        ),
        (
            [EavRow("a", "txt", tval="x"), EavRow("a.0.b", "int", ival=1)],
            "key 'a.0.b': what holds '0' on its path is neither a list nor a dict",
        ),
        ([EavRow("a", "list")], "key 'a': it is a list of unknown length"),
        (
            [EavRow("a", "list", ival=2**31 - 1)],
            "key 'a': it is a list of 2147483647, whose items are not there",
        ),
        ([EavRow("a", "float")], "key 'a': it is a float without a number"),
        (
            [EavRow("a", "json", tval="{}"), EavRow("b.c", "int", ival=1)],
            "key 'b.c': there is no row for 'b' on its path",
        ),
    ],
)
@pytest.mark.parametrize("extra", [False, True])
async def test_rows_without_a_place_are_refused_and_nothing_is_changed(
    at: At, rows: list[EavRow], problem: str, extra: bool
) -> None:
    connection = await at(36)
    await add_node(connection, {"a": 1})
    nodes = [await add_node(connection) for _ in range(2)]
    for node in nodes:
        await add_rows(connection, node, rows, extra=extra)
    before = await describe(connection)

    with pytest.raises(StorageMigrationError) as refused:
        await migrate(connection)

    table = "db_dbextra" if extra else "db_dbattribute"
    assert f"{table} of node {nodes[0]}, {problem}" in all_told(refused.value)
    assert "in 2 nodes" in str(refused.value)
    assert await describe(connection) == before


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "10000-01-01Z", "0001-01-01Z BC"])
async def test_times_that_python_does_not_have_are_refused(at: At, moment: str) -> None:
    connection = await at(36)
    node = await add_node(connection)
    await insert(
        connection, "db_dbattribute", dbnode_id=node, key="t", datatype="date", dval=moment
    )

    with pytest.raises(StorageMigrationError, match=f"node {node}, key 't': .* is a time that"):
        await migrate(connection)


async def test_rows_of_a_node_that_is_missing_are_written_to_a_file(at: At, tmp_path: Path) -> None:
    connection = await at(36)
    node = await add_node(connection, {"a": 1})
    for table in ("db_dbattribute", "db_dbextra"):
        await connection.execute(f"alter table {table} disable trigger all")
    await add_rows(connection, 999_999, [EavRow("of.nothing", "float", fval=math.nan)])
    await add_rows(
        connection, -5, [EavRow("when", "date", dval=datetime.datetime.now(UTC))], extra=True
    )

    exported, _ = await run_step(connection, 37, export_directory=tmp_path)

    assert await documents(connection) == {node: ('{"a": 1}', "{}")}
    (path,) = exported.files
    kept = json.loads(path.read_text())
    assert [(entry["table"], entry["reason"], entry["row"]["dbnode_id"]) for entry in kept] == [
        ("db_dbattribute", "no_node", 999_999),
        ("db_dbextra", "no_node", -5),
    ]
    assert (kept[0]["row"]["key"], kept[0]["row"]["fval"]) == ("of.nothing", "NaN")
    assert exported.notes == (
        "2 rows of attributes, extras or settings without a node or a value: written to "
        + str(path),
    )


def all_told(error: Exception) -> str:
    """An error's message and its notes, where all is that is more than a message holds."""
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


async def test_not_every_refused_row_is_named(at: At) -> None:
    connection = await at(36)
    for number in range(30):
        node = await add_node(connection)
        await add_rows(connection, node, [EavRow(f"a{number}.b", "int", ival=1)])

    with pytest.raises(StorageMigrationError) as refused:
        await migrate(connection)

    assert "in 30 nodes" in str(refused.value)
    told = all_told(refused.value)
    assert told.count("there is no row for") == 10


async def test_json_keeps_its_value_and_the_report_says_so(at: At, small_sets: None) -> None:
    connection = await at(36)
    texts = ['{"x": [3.0, "å"]}', "1e300", "NaN", '"json"', "null"]
    nodes = [await add_node(connection, {"plain": [1.5]}) for _ in texts]
    for node, text in zip(nodes, texts, strict=True):
        rows = [EavRow("list", "list", ival=1), EavRow("list.0", "json", tval=text)]
        await add_rows(connection, node, rows)

    outcome = await migrate(connection)

    found = await documents(connection)
    assert [found[node][0] for node in nodes] == [
        f'{{"list": [{value}], "plain": [1.5]}}'
        for value in ('{"x": [3.0, "å"]}', "1" + 300 * "0", '"nan"', '"json"', "null")
    ]
    (note,) = outcome.notes
    assert note.endswith("which keep their value: 5")


@pytest.mark.usefixtures("in_a_directory_of_its_own")
async def test_values_that_cannot_be_read_are_null_and_reported(at: At) -> None:
    connection = await at(36)
    node = await add_node(connection, {"plain": 1})
    rows = [
        EavRow("json", "json", tval="{no json"),
        EavRow("nul", "json", tval='"\\u0000"'),
        EavRow("other", "complex", tval="1+2j"),
    ]
    await add_rows(connection, node, rows)

    outcome = await migrate(connection)

    found = json.loads(str((await documents(connection))[node][0]))
    assert found == {"plain": 1, "json": None, "nul": None, "other": None}
    (note,) = outcome.notes
    assert ": 3 (" in note
    assert f"db_dbattribute of node {node}, key 'other': datatype 'complex', '1+2j'" in note


# ------------------------------------------------------------------ settings


async def insert_settings(connection: asyncpg.Connection, rows: Iterable[EavRow]) -> None:
    for row in rows:
        await connection.execute(
            """
            insert into db_dbsetting
                (key, description, time, datatype, bval, ival, fval, tval, dval)
            values ($1, 'about', now(), $2, $3, $4, $5, $6, $7)
            """,
            row.key,
            row.datatype,
            row.bval,
            row.ival,
            row.fval,
            row.tval,
            row.dval,
        )


async def settings_of(connection: asyncpg.Connection) -> dict[str, str | None]:
    found = await connection.fetch(
        "select key, val::text as val from db_dbsetting where description = 'about'"
    )
    return {row["key"]: row["val"] for row in found}


@pytest.mark.usefixtures("in_a_directory_of_its_own")
async def test_settings_of_every_type_become_json(at: At) -> None:
    connection = await at(36)
    values: dict[str, Value] = {
        "text": 'a "b"',
        "number": 3.0,
        "infinite": -math.inf,
        "count": 7,
        "flag": True,
        "time": datetime.datetime(2015, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        "nothing": None,
        "dict": {"item": 1.0},
    }
    rows = [
        *rows_of(values),
        EavRow("json", "json", tval='{"a": 3.0}'),
        EavRow("broken", "json", tval="{"),
        EavRow("float", "float"),
    ]
    await insert_settings(connection, rows)

    outcome = await migrate(connection)

    assert await settings_of(connection) == {
        "text": '"a \\"b\\""',
        "number": "3.0",
        "infinite": '"-inf"',
        "count": "7",
        "flag": "true",
        "time": '"2015-01-02T03:04:05.000678+00:00"',
        "nothing": None,
        "dict": '{"item": 1.0}',
        "json": '{"a": 3.0}',
        "broken": None,
        "float": None,
    }
    (note,) = outcome.notes
    assert "2 (setting 'broken': datatype 'json', '{'; setting 'float'" in note


@pytest.mark.usefixtures("in_a_directory_of_its_own")
async def test_settings_that_are_lists_or_dicts_keep_them(at: At) -> None:
    """AiiDA writes null, and leaves their items as settings of their own."""
    connection = await at(36)
    values: dict[str, Value] = {
        "list": [1, [True, None], {}, {"x": "y.z"}],
        "dict": {"a b": [3.0, "é\\"], "0": {"deep": {"deeper": []}}, "%s": 1},
        "empty|list": [],
        "empty|dict": {},
        "listed": "is no item of list",
    }
    await insert_settings(
        connection,
        [
            *rows_of(values),
            # AiiDA's own step does not know these inside of a list either.
            EavRow("odd", "list", ival=3),
            EavRow("odd.0", "json", tval='{"a": NaN}'),
            EavRow("odd.1", "float"),
            # Item 2 has no row.
            EavRow("short", "list", ival=1),
            EavRow("short.0", "int", ival=5),
            EavRow("short.1", "int", ival=6),
            EavRow("nobody.0", "int", ival=7),
        ],
    )

    outcome = await migrate(connection)

    found = await settings_of(connection)
    assert {key: json.loads(text) for key, text in found.items() if key in values and text} == (
        values
    )
    assert {key: text for key, text in found.items() if key not in values} == {
        "odd": '[{"a": "nan"}, null, null]',
        "short": None,
        "short.0": "5",
        "short.1": "6",
        "nobody.0": "7",
    }
    (note,) = outcome.notes
    assert "an item of setting 'odd': datatype 'float'" in note
    assert "setting 'short': key 'short.1': a list of 1 has no item 1" in note


# ------------------------------------------------------------------ beside aiida-core 2.9.4


@dataclass(frozen=True)
class Peer:
    """aiida-core 2.9.4's own step."""

    module: SimpleNamespace

    def nest(self, rows: Iterable[EavRow]) -> object | None:
        """What it makes of a node's rows; None where it fails, or leaves some out."""
        entries = [SimpleNamespace(id=0, dbnode_id=0, **vars(row)) for row in rows]
        entries.sort(key=lambda entry: entry.key)
        try:
            made, failed = self.module.attributes_to_dict(entries)
        except (KeyError, IndexError, TypeError, ValueError):
            return None
        return None if failed else made

    def upgrade(self, dsn: str) -> None:
        """Run it on a database. Blocks."""
        from alembic.migration import MigrationContext
        from alembic.operations import Operations
        from sqlalchemy import create_engine

        engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://", 1))
        try:
            with (
                engine.begin() as connection,
                Operations.context(MigrationContext.configure(connection)),
            ):
                self.module.upgrade()
        finally:
            engine.dispose()


@pytest.fixture
def aiida_step(aiida_home: Path) -> Peer:
    return Peer(importlib.import_module(MODULE))


def token_of(row: EavRow) -> str:
    match row.datatype:
        case "list":
            return f"[{'' if row.ival is None else row.ival} {row.key}"
        case "dict":
            return "{" + row.key
    return "=" + row.key


def value_of(row: EavRow) -> str:
    given = (row.bval, row.ival, row.fval, row.tval or None)
    return json.dumps(next((plain(value) for value in given if value is not None), None))


PARTS = st.sampled_from(["a", "b", "0", "1", "2", "01", "-1", "-2", "x", "", " 1", "1_0"])
MALFORMED = st.lists(
    st.builds(
        EavRow,
        key=st.lists(PARTS, min_size=1, max_size=3).map(".".join),
        datatype=st.sampled_from(["dict", "list", "list", "int"]),
        ival=st.one_of(st.integers(-1, 3), st.none()),
    ),
    max_size=6,
    unique_by=lambda row: row.key,
)


@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=MALFORMED)
def test_what_aiida_fails_at_is_refused_and_nothing_else(
    aiida_step: Peer, rows: list[EavRow]
) -> None:
    theirs = aiida_step.nest(rows)
    try:
        nested = nesting.nest([token_of(row) for row in rows])
    except nesting.MisplacedRow as error:
        # Of two rows for the same item, AiiDA forgets one.
        assert theirs is None or "two rows" in error.reason  # noqa: PT017
    else:
        assert json.loads(nesting.fill(nested, [value_of(row) for row in rows])) == theirs


@settings(WITH_DATABASE, max_examples=examples(1))
@given(
    stored=st.lists(st.tuples(DOCUMENTS, DOCUMENTS), min_size=5, max_size=15),
    holes=st.lists(st.integers(1, 50), max_size=5),
)
@pytest.mark.usefixtures("in_a_directory_of_its_own")
async def test_every_node_has_the_text_that_aiidas_own_step_leaves(
    databases: Databases,
    aiida_step: Peer,
    stored: list[tuple[dict[str, Value], dict[str, Value]]],
    holes: list[int],
) -> None:
    found = []
    for migrate_one in (lambda dsn: migrate_database(dsn), lambda dsn: _upgrade(aiida_step, dsn)):
        dsn = await database_at(databases, 36)
        connection = await asyncpg.connect(dsn)
        name = await connection.fetchval("select current_database()")
        # aiida-core 2.9.4 writes times in the time zone of the session, 1.6.9 in UTC.
        await connection.execute(f"alter database \"{name}\" set timezone = 'UTC'")
        for attributes, extras in stored:
            await add_node(connection, attributes, extras)
        # Leaves of lists only: AiiDA fails at items whose list or dict is missing.
        await connection.execute(
            """
            delete from db_dbattribute as hole
            where hole.id = any ($1::int[])
              and not hole.datatype = any (array['list', 'dict'])
            """,
            holes,
        )
        await connection.close()
        await migrate_one(dsn)
        connection = await asyncpg.connect(dsn)
        found.append(await documents(connection))
        await connection.close()
        await databases.drop(dsn)
    assert found[0] == found[1]


async def migrate_database(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await migrate(connection)
    finally:
        await connection.close()


async def _upgrade(peer: Peer, dsn: str) -> None:
    await asyncio.to_thread(peer.upgrade, dsn)


@pytest.mark.quick
def test_a_placeholder_is_no_value_and_no_key() -> None:
    rows = rows_of({'"\\u00001"': '"\\u00001"', "%1$s": "%%", "\x01": ["\\"]})
    nested = nesting.nest([token_of(row) for row in rows])

    assert json.loads(nesting.fill(nested, [value_of(row) for row in rows])) == {
        '"\\u00001"': '"\\u00001"',
        "%1$s": "%%",
        "\x01": ["\\"],
    }
    assert nesting.as_format(nested).count("$s") == 4
    assert replace(rows[0], key="x") != rows[0]
