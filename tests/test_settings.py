"""Settings: AiiDA's rules for keys, any JSON value, and what happens when two write together."""

import asyncio
import contextlib
import datetime as dt
import gc
import json
import sys
import time
from collections.abc import Iterator

import asyncpg
import hypothesis
import pytest

import aiidadb
from aiidadb.exceptions import CorruptStorage, InvalidInputError, NotExistent
from tests.helpers.examples import examples
from tests.helpers.json_values import JSON, TOO_DEEP, TOO_LONG, same


@pytest.mark.quick
async def test_a_setting_is_set_got_overwritten_and_deleted(backend):
    settings = backend.settings
    with pytest.raises(NotExistent, match=r"'a\|b'"):
        await settings.get("a|b")
    before = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    await settings.set("a|b", [1, "x"], "what for")
    setting = await settings.get("a|b")
    assert (setting.key, setting.value, setting.description) == ("a|b", [1, "x"], "what for")
    assert setting.time > before
    await settings.set("a|b", None)
    again = await settings.get("a|b")
    assert (again.value, again.description) == (None, "what for")
    assert again.time > setting.time
    await settings.set("a|b", 1, "")
    assert (await settings.get("a|b")).description == ""
    await settings.delete("a|b")
    with pytest.raises(NotExistent):
        await settings.get("a|b")
    with pytest.raises(NotExistent):
        await settings.delete("a|b")


@pytest.mark.quick
async def test_all_settings_come_by_key(backend):
    for key in ("zeta", "alpha"):
        await backend.settings.set(key, key)
    found = [setting.key for setting in await backend.settings.get_all()]
    assert found == sorted(found)
    assert {"alpha", "zeta"} <= set(found)


@pytest.mark.parametrize("key", ["", "a.b", ".", None, 1, "a\x00b", "\ud800", "k" * 1025])
async def test_a_key_that_no_setting_can_have_is_refused(backend, key):
    for call in (
        backend.settings.get(key),
        backend.settings.set(key, 1),
        backend.settings.delete(key),
    ):
        with pytest.raises(InvalidInputError):
            await call


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "the value is nan"),
        ([1, float("inf")], r"the value\[1\] is inf"),
        ({"a": "x\x00"}, r"the value\['a'\] holds a NUL"),
        ({"a\x00": 1}, "the key .* holds a NUL"),
        ("\ud800", "lone surrogate"),
        ({1: 2}, "JSON keys are strings"),
        ((1, 2), "type tuple"),
        ({"a": {1}}, "type set"),
        (dt.datetime.now(dt.UTC), "type datetime"),
        pytest.param(10**4301, "4300 digits", id="long integer"),
        (json.loads("[" * 400 + "]" * 400), "nested deeper"),
    ],
)
async def test_what_cannot_be_stored_is_refused_before_it_is_sent(backend, value, message):
    await backend.settings.set("kept", "as it was")
    with pytest.raises(InvalidInputError, match=message):
        await backend.settings.set("kept", value)
    assert (await backend.settings.get("kept")).value == "as it was"


@pytest.mark.parametrize("description", [1, "a\x00b", "\ud800"])
async def test_a_description_that_is_no_text_is_refused(backend, description):
    with pytest.raises(InvalidInputError):
        await backend.settings.set("a", 1, description)


@pytest.mark.quick
async def test_values_at_the_edge_come_back_equal(backend):
    values = [
        3.0, -0.0, 1e300, 1e-300, 5e-324, 1.7976931348623157e308, 0.1, 2**53, 2**64, -(10**400),
        "", "\u2028\\\"'é\U0001f600", [], {}, [[]], {"": {"a.b": [None, True, False]}},
        json.loads("[" * 290 + "]" * 290),
    ]  # fmt: skip
    for value in values:
        await backend.settings.set("edge", value)
        assert same((await backend.settings.get("edge")).value, value), value


@pytest.mark.quick
@pytest.mark.hypothesis
async def test_any_json_value_comes_back_equal(main_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        loop = asyncio.get_running_loop()

        @hypothesis.settings(max_examples=examples(30))
        @hypothesis.given(JSON)
        def check(value: object) -> None:
            async def there_and_back() -> object:
                await backend.settings.set("value", value)
                return (await backend.settings.get("value")).value

            back = asyncio.run_coroutine_threadsafe(there_and_back(), loop).result(30)
            assert same(back, value)

        await asyncio.to_thread(check)


class Label(str):
    __slots__ = ()


@pytest.fixture
def without_collections() -> Iterator[None]:
    """Python does not look through the objects of other tests meanwhile, which takes long."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(list(range(300_000)), id="integers"),
        pytest.param("\\" * 5_000_000 + "u0000", id="backslashes"),
        pytest.param("\\u0000" * 400_000, id="escapes of NUL, escaped"),
        pytest.param(['"' * 1_000_000, 1e300], id="quotes and a float"),
        pytest.param(['1e+5 "x" e+'] * 200_000, id="exponents in strings"),
        pytest.param([1e300, "e+"] * 60_000, id="exponents in and between strings"),
        pytest.param([*range(300_000), float("nan")], id="NaN at the end"),
        pytest.param([*["a"] * 300_000, "\0"], id="NUL at the end"),
        pytest.param([Label("abc")] * 300_000, id="strings of a class of the caller's"),
        pytest.param({Label(at): at for at in range(100_000)}, id="keys of such a class"),
    ],
)
@pytest.mark.usefixtures("without_collections")
async def test_a_large_value_hardly_holds_the_event_loop(backend, value):
    # Time of this thread's own, which other processes do not add to.
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            start = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - start)

    start = time.thread_time()
    json.dumps(value)
    bound = 3 * (time.thread_time() - start) + 0.05
    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    with contextlib.suppress(InvalidInputError):  # as for those of the values that are refused
        await backend.settings.set("large", value)
    await asyncio.sleep(0)  # so that it takes note
    watching.cancel()
    assert longest < bound


async def test_a_large_value_that_cannot_be_stored_is_refused_with_its_place(backend):
    with pytest.raises(InvalidInputError, match=r"the value\[20000\] is nan"):
        await backend.settings.set("large", [*range(20_000), float("nan")])
    with pytest.raises(NotExistent):
        await backend.settings.get("large")


async def test_a_call_that_is_cancelled_while_a_large_value_is_encoded_sends_nothing(backend):
    call = asyncio.create_task(backend.settings.set("large", list(range(300_000))))
    await asyncio.sleep(0)  # it has begun
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(NotExistent):
        await backend.settings.get("large")


async def test_many_writers_of_one_key_leave_one_whole_row(main_dsn):
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with aiidadb.open_backend(profile, max_size=20) as backend:
        await asyncio.gather(
            *(backend.settings.set("one", [n] * 5, f"from {n}") for n in range(60))
        )
        setting = await backend.settings.get("one")
        number = setting.value[0]
        assert setting.value == [number] * 5
        assert setting.description == f"from {number}"
        assert len(await backend.settings.get_all()) == 1


async def test_a_database_without_the_table_has_no_settings(empty_dsn):
    profile = aiidadb.Profile.from_dsn(empty_dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        assert backend.settings.table_name == "db_dbsetting"
        for call in (
            backend.settings.validate_table_existence(),
            backend.settings.get("a"),
            backend.settings.set("a", 1),
            backend.settings.delete("a"),
        ):
            with pytest.raises(NotExistent, match="db_dbsetting"):
                await call


async def test_a_database_with_the_table_passes(backend):
    await backend.settings.validate_table_existence()


async def test_aiida_core_reads_what_we_write(aiida_dsn, aiida_backend):
    value = {"a": [1, 2.5, "é"]}
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_dsn)) as backend:
        await backend.settings.set("ours", value)
        assert aiida_backend.get_global_variable("ours") == value
        aiida_backend.set_global_variable("theirs", value, "of aiida-core")
        setting = await backend.settings.get("theirs")
        assert (setting.value, setting.description) == (value, "of aiida-core")


async def test_a_key_that_postgresql_holds_twice_can_not_be(main_dsn):
    connection = await asyncpg.connect(main_dsn)
    try:
        insert = "insert into db_dbsetting (key, description, time) values ('k', '', now())"
        await connection.execute(insert)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(insert)
    finally:
        await connection.close()


ODD_VALUES = {
    "deep": (TOO_DEEP, "the value is nested deeper than Python can read"),
    "deep object": ('{"a": ' * 12_000 + "1" + "}" * 12_000, "the value is nested deeper than"),
    "long": (TOO_LONG, "the value holds an integer of more than 4300 digits"),
    "long inside": (f'{{"a": [1, -{TOO_LONG}]}}', "the value holds an integer of more than"),
}
ODD_TIMES = {
    "-infinity": "time -infinity: ",
    "0044-03-15 12:00+00 BC": "time 0044-03-15 12:00:00 BC: ",
    "12026-01-01 00:00+00": "time 12026-01-01 00:00:00: ",
    "infinity": "time infinity: ",
}


async def write_as_others(backend, key, text, time="2024-05-17 09:30+00"):
    """A setting that this library would not write."""
    async with backend.connection() as connection:
        await connection.execute(
            "insert into db_dbsetting (key, val, description, time) "
            "values ($1, $2::text::jsonb, 'by others', $3::text::timestamptz)",
            key,
            text,
            time,
        )


@pytest.mark.quick
@pytest.mark.parametrize(("text", "problem"), ODD_VALUES.values(), ids=ODD_VALUES)
async def test_a_value_that_python_cannot_hold_is_told(backend, text, problem):
    await write_as_others(backend, "odd", text)
    await backend.settings.set("even", 1)
    with pytest.raises(CorruptStorage, match=f"of the setting 'odd' {problem[10:]}"):
        await backend.settings.get("odd")
    found = {setting.key: setting for setting in await backend.settings.get_all()}
    assert (found["even"].value, found["even"].problem) == (1, None)
    assert (found["odd"].value, found["odd"].description) == (None, "by others")
    assert found["odd"].time == dt.datetime(2024, 5, 17, 9, 30, tzinfo=dt.UTC)
    assert found["odd"].problem.startswith(problem)
    await backend.settings.set("odd", 2)
    again = await backend.settings.get("odd")
    assert (again.value, again.problem) == (2, None)


async def test_a_value_that_python_cannot_hold_can_be_deleted(backend):
    await write_as_others(backend, "odd", ODD_VALUES["deep"][0], "infinity")
    await backend.settings.delete("odd")
    with pytest.raises(NotExistent):
        await backend.settings.get("odd")


async def test_a_deep_value_is_stored_and_read_however_deep_the_caller_is(backend):
    value = 1
    for _ in range(299):
        value = [value]

    async def at_depth(depth, call):
        return await (at_depth(depth - 1, call) if depth else call())

    depth = 700 if sys.gettrace() is None else 300  # a call takes two levels where it is traced
    await at_depth(depth, lambda: backend.settings.set("deep", value))
    assert (await at_depth(depth, lambda: backend.settings.get("deep"))).value == value


@pytest.mark.quick
async def test_a_time_that_python_cannot_hold_is_told(backend):
    await backend.settings.set("even", 1)
    async with backend.transaction() as connection:
        for number, time in enumerate(ODD_TIMES):
            await write_as_others(backend, f"odd {number}", f"[{number}]", time)
        await connection.execute("set local timezone = 'Asia/Kathmandu'")
        await connection.execute("set local datestyle = 'German'")
        found = {setting.key: setting for setting in await backend.settings.get_all()}
        for number, problem in enumerate(ODD_TIMES.values()):
            setting = await backend.settings.get(f"odd {number}")
            assert (setting.value, setting.time) == ([number], None)
            assert setting.problem.startswith(problem)
            assert found[setting.key] == setting
        assert found["even"].time is not None
        assert found["even"].problem is None


async def test_a_value_and_a_time_that_python_cannot_hold_are_both_told(backend):
    await write_as_others(backend, "odd", ODD_VALUES["deep"][0], "infinity")
    (odd,) = [one for one in await backend.settings.get_all() if one.key == "odd"]
    assert odd.problem == (
        "the value is nested deeper than Python can read; "
        "time infinity: Python's times are from the year 1 to 9999"
    )
    with pytest.raises(CorruptStorage, match=r"'odd' is nested deeper .*: write another"):
        await backend.settings.get("odd")


@pytest.mark.quick
async def test_a_default_is_given_where_there_is_no_such_setting(backend):
    default = object()
    assert await backend.settings.get("a", default) is default
    assert await backend.settings.get("a", None) is None
    assert await backend.settings.get("a", default=5) == 5
    with pytest.raises(NotExistent, match=r"no setting 'a'$"):
        await backend.settings.get("a")
    await backend.settings.set("repository|uuid", "1")
    for look in (backend.settings.get, backend.settings.delete):
        with pytest.raises(NotExistent, match=r"y\|uid': did you mean 'repository\|uuid'\?$"):
            await look("repository|uid")
    await backend.settings.set("a", None)
    assert (await backend.settings.get("a", default)).value is None
    with pytest.raises(InvalidInputError):
        await backend.settings.get("a.b", default)
