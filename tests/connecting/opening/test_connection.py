"""One connection: its settings, its codecs, its time limits, and the loop that it needs."""

import asyncio
import gc
import json
import random
from collections import Counter

import anyio
import asyncpg
import pytest
import trio

import aiidadb
from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.pools.pool import PoolRegistry
from aiidadb.exceptions import DatabaseError, PoolError
from tests.helpers.faults import proxy


@pytest.fixture
def profile(empty_dsn):
    return aiidadb.Profile.from_dsn(empty_dsn)


async def test_an_application_name_of_the_caller_wins(profile):
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile, server_settings={"application_name": "mine"})
        assert await pool.fetchval("show application_name") == "mine"
        assert await pool.fetchval("show jit") == "off"


@pytest.mark.quick
async def test_settings_of_the_profile_hold_beside_those_of_the_caller(empty_dsn):
    asked = "options=-c%20work_mem%3D1MB%20-c%20search_path%3Dx"
    profile = aiidadb.Profile.from_dsn(f"{empty_dsn}&{asked}")
    given = {"work_mem": "2MB", "application_name": "mine"}
    connection = await connect(profile, server_settings=given)
    for name, value in {**given, "search_path": "x", "jit": "off"}.items():
        assert await connection.fetchval("select current_setting($1::text)", name) == value
    await connection.close()


@pytest.mark.quick
async def test_json_arrives_as_python_values(profile):
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile)
        value = {"a": [1, 2.5, None, "é"]}
        assert await pool.fetchval("select $1::jsonb", value) == value
        assert await pool.fetchval("select $1::json", value) == value


async def test_a_large_answer_is_decoded_a_little_at_a_time(profile, monkeypatch):
    turn = 0
    decoded: Counter[int] = Counter()
    read = json.JSONDecoder().raw_decode

    def note(text: str) -> object:
        decoded[turn] += len(text)
        return read(text)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr("aiidadb.connecting.opening.connection._read", note)
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile)
        counting = asyncio.create_task(count_turns())
        try:
            await pool.fetch(
                "select to_jsonb(repeat('x', 1000)) from generate_series(1, $1::int)", 4_000
            )
        finally:
            counting.cancel()
    assert sum(decoded.values()) > 4_000_000
    assert max(decoded.values()) < 64 * 1024


async def test_behind_pgbouncer_nothing_that_it_refuses_is_sent(profile):
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile, statement_cache_size=0)
        # The server's own default stands: no session setting went out with the connection.
        assert (
            await pool.fetchval("select source from pg_settings where name = 'jit'")
        ) != "client"
        assert await pool.fetchval("show application_name") == "aiidadb"


async def test_a_statement_that_takes_too_long_is_cut(profile):
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile, command_timeout=0.2)
        with pytest.raises(TimeoutError):
            await pool.fetchval("select pg_sleep(5)")
        assert await pool.fetchval("select 1", timeout=10) == 1


async def test_a_connection_of_its_own_has_no_time_limit(profile):
    connection = await connect(profile)
    try:
        assert connection._config.command_timeout is None
        assert await connection.fetchval("""select '{"a": 1}'::jsonb""") == {"a": 1}
    finally:
        await connection.close()
    missing = aiidadb.Profile.from_dsn("postgresql://postgres@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseError):
        await connect(missing)


def test_trio_is_told_at_the_first_await(profile):
    registry = PoolRegistry()

    async def ask() -> None:
        await registry.get_pool(profile)

    with pytest.raises(PoolError, match="asyncio"):
        trio.run(ask)
    with pytest.raises(PoolError, match="trio"):
        anyio.run(ask, backend="trio")


async def test_connecting_that_is_cancelled_leaves_nothing_and_logs_nothing(
    bare_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: complaints.append(context)
    )
    moments = random.Random(7)
    async with proxy(bare_dsn) as between:
        profile = aiidadb.Profile.from_dsn(between.dsn)  # sslmode=prefer, so first asked for TLS
        for _ in range(40):
            opening = [asyncio.create_task(connect(profile)) for _ in range(5)]
            await asyncio.sleep(moments.uniform(0, 0.03))
            for one in opening:
                one.cancel()
            for result in await asyncio.gather(*opening, return_exceptions=True):
                if isinstance(result, asyncpg.Connection):
                    await result.close()
                else:
                    assert isinstance(result, asyncio.CancelledError)
        del opening, one, result
        await asyncio.sleep(0.05)
        gc.collect()  # which is when asyncio complains
    assert complaints == []
    assert caplog.records == []


async def test_an_attempt_to_connect_is_not_cut_between_two_of_its_states(
    bare_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the machine keeps it from coming to where it waits for the network."""
    begun, go_on, ends = asyncio.Event(), asyncio.Event(), asyncio.Queue()
    really_connect = asyncpg.connect

    async def connect_late(*arguments, **options):
        begun.set()
        try:
            await go_on.wait()
            connection = await really_connect(*arguments, **options)
        except BaseException as error:
            ends.put_nowait(error)
            raise
        ends.put_nowait(connection)
        return connection

    monkeypatch.setattr(asyncpg, "connect", connect_late)
    monkeypatch.setattr("aiidadb.connecting.opening.connector._MOMENT", 0.01)
    async with asyncio.timeout(20):
        opening = asyncio.create_task(connect(aiidadb.Profile.from_dsn(bare_dsn)))
        await begun.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        go_on.set()
        connection = await ends.get()
        assert isinstance(connection, asyncpg.Connection)
        while not connection.is_closed():
            await asyncio.sleep(0)


async def test_an_attempt_to_connect_that_nothing_answers_is_given_up(
    bare_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, given_up = asyncio.Event(), asyncio.Event()

    async def wait_for_ever(*_arguments, **_options):
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            given_up.set()
            raise

    monkeypatch.setattr(asyncpg, "connect", wait_for_ever)
    for name in ("_MOMENT", "_LONGEST"):
        monkeypatch.setattr(f"aiidadb.connecting.opening.connector.{name}", 0.01)
    async with asyncio.timeout(20):
        opening = asyncio.create_task(connect(aiidadb.Profile.from_dsn(bare_dsn)))
        await begun.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await given_up.wait()
