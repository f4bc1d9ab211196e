"""Pools: one a profile and loop, refused rather than wrong, gone when reset."""

import asyncio
import gc
import inspect
import os
import signal
import threading
import warnings

import asyncpg
import pytest

import aiidadb
from aiidadb.connecting.pools.pool import PoolRegistry
from aiidadb.exceptions import (
    AuthenticationError,
    ClosedError,
    PoolOptionsError,
    UnreachableStorage,
)
from tests.helpers.databases import connected
from tests.helpers.processes import LIMIT


@pytest.fixture
def profile(empty_dsn):
    return aiidadb.Profile.from_dsn(empty_dsn)


async def until_sessions_are(number: int, dsn: str) -> None:
    """Wait until others hold that many connections to a database, no more."""
    query = """
        select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
    """
    async with asyncio.timeout(LIMIT), connected(dsn) as connection:
        while await connection.fetchval(query) > number:
            await asyncio.sleep(0.02)


@pytest.mark.quick
async def test_however_many_ask_at_once_there_is_one_pool(profile):
    async with PoolRegistry() as registry:
        pools = await asyncio.gather(*(registry.get_pool(profile) for _ in range(50)))
        assert len({id(pool) for pool in pools}) == 1


async def test_the_same_options_again_are_fine_and_others_are_refused(profile):
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile, max_size=3)
        assert await registry.get_pool(profile, max_size=3) is pool
        assert await registry.get_pool(profile) is pool
        with pytest.raises(
            PoolOptionsError,
            match=r"open with max_size=3 \(requested: 4\): close it with its registry's reset\(\)",
        ):
            await registry.get_pool(profile, max_size=4)
        with pytest.raises(PoolOptionsError, match="open with another password: "):
            await registry.get_pool(profile, password="s3cret")
        with pytest.raises(PoolOptionsError, match="statement_cache_size"):
            await registry.get_pool(profile, statement_cache_size=0)


async def test_options_that_asyncpg_does_not_have_are_an_error_of_ours(profile):
    async with PoolRegistry() as registry:
        with pytest.raises(PoolOptionsError, match="colour"):
            await registry.get_pool(profile, colour="red")
        with pytest.raises(PoolOptionsError):
            await registry.get_pool(profile, max_size=0)
        await registry.get_pool(profile)


async def test_two_profiles_never_share_connections(databases, profile):
    other_dsn = await databases.create()
    other = aiidadb.Profile.from_dsn(other_dsn)
    async with PoolRegistry() as registry:
        one, two = await registry.get_pool(profile), await registry.get_pool(other)
        names = await asyncio.gather(
            *(pool.fetchval("select current_database()") for pool in (one, two) * 20)
        )
        assert set(names[0::2]) == {profile_database(profile)}
        assert set(names[1::2]) == {profile_database(other)}
    await databases.drop(other_dsn)


def profile_database(profile: aiidadb.Profile) -> str:
    return profile.database


async def test_an_opening_that_failed_leaves_nothing_behind(databases, empty_dsn):
    missing = aiidadb.Profile.from_dsn(databases.dsn("aiidadb_not_there"))
    async with PoolRegistry() as registry:
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="aiidadb_not_there"):
                await registry.get_pool(missing)
        assert registry._entries == {}


async def test_all_who_wait_for_an_opening_that_fails_get_the_error(databases):
    missing = aiidadb.Profile.from_dsn(databases.dsn("aiidadb_not_there"))
    async with PoolRegistry() as registry:
        results = await asyncio.gather(
            *(registry.get_pool(missing) for _ in range(5)), return_exceptions=True
        )
        assert [type(result) for result in results] == [AuthenticationError] * 5


async def test_nobody_listening_is_told_as_such():
    nobody = aiidadb.Profile.from_dsn("postgresql://postgres@127.0.0.1:1/nothing")
    async with PoolRegistry() as registry:
        with pytest.raises(UnreachableStorage):
            await registry.get_pool(nobody)


async def test_an_opening_that_is_cancelled_leaves_the_way_open(profile):
    async with PoolRegistry() as registry:
        opening = asyncio.create_task(registry.get_pool(profile))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(registry.get_pool(profile))
        await asyncio.sleep(0)
        opening.cancel()
        assert await (await waiting).fetchval("select 1") == 1


async def test_reset_ends_though_a_connection_was_never_given_back(profile, monkeypatch):
    monkeypatch.setattr("aiidadb.connecting.pools.pool.CLOSE_TIMEOUT", 0.3)
    registry = PoolRegistry()
    pool = await registry.get_pool(profile)
    kept = await pool.acquire()
    async with asyncio.timeout(0.3 + 10):
        await registry.reset()
    with pytest.raises(asyncpg.InterfaceError):
        await kept.execute("select 1")
    assert (await registry.get_pool(profile)) is not pool
    await registry.reset()


@pytest.mark.quick
async def test_reset_of_one_profile_leaves_the_other(databases, profile):
    other_dsn = await databases.create()
    other = aiidadb.Profile.from_dsn(other_dsn)
    async with PoolRegistry() as registry:
        one, two = await registry.get_pool(profile), await registry.get_pool(other)
        await registry.reset(profile)
        assert one.is_closing()
        assert await two.fetchval("select 1") == 1
    await databases.drop(other_dsn)


async def test_a_pool_that_its_last_borrower_closes_during_a_reset_is_left_to_that(
    databases, profile
):
    other_dsn = await databases.create()
    async with PoolRegistry() as registry:
        first = await registry.get_pool(profile)
        kept = await first.acquire()
        async with registry.borrow(aiidadb.Profile.from_dsn(other_dsn)) as other:
            resetting = asyncio.create_task(registry.reset())
            while not first.is_closing():
                await asyncio.sleep(0)
        assert other.is_closing()
        await first.release(kept)
        await resetting
        assert registry._entries == {}
    await databases.drop(other_dsn)


async def test_a_closed_registry_says_so(profile):
    async with PoolRegistry() as registry:
        await registry.get_pool(profile)
    with pytest.raises(ClosedError):
        await registry.get_pool(profile)


async def test_a_registry_that_is_closed_while_it_opens_a_pool_keeps_none(
    profile, empty_dsn, monkeypatch
):
    begun, go_on = asyncio.Event(), asyncio.Event()
    really_connect = asyncpg.connect

    async def connect_late(*arguments, **options):
        begun.set()
        await go_on.wait()
        return await really_connect(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg, "connect", connect_late)
        async with PoolRegistry() as registry:
            opening = [asyncio.create_task(registry.get_pool(profile)) for _ in range(2)]
            await begun.wait()
        go_on.set()
        for one in opening:
            with pytest.raises(ClosedError, match="registry was closed"):
                await one
    await until_sessions_are(0, empty_dsn)


async def test_the_default_registry_serves_the_module_functions(profile, empty_dsn):
    pool = await aiidadb.get_pool(profile, max_size=2)
    assert await aiidadb.get_pool(profile) is pool
    await aiidadb.reset_pools()
    await until_sessions_are(0, empty_dsn)


async def test_what_is_borrowed_closes_when_the_last_is_done(profile):
    async with PoolRegistry() as registry:
        async with registry.borrow(profile) as one:
            async with registry.borrow(profile) as two:
                assert one is two
            assert not one.is_closing()
        assert one.is_closing()
        pinned = await registry.get_pool(profile)
        async with registry.borrow(profile) as borrowed:
            assert borrowed is pinned
        assert not pinned.is_closing()


def test_a_pool_of_a_closed_loop_is_never_handed_out(profile, empty_dsn):
    registry = PoolRegistry()
    # The loop was closed with connections open; that Python reports it later is right.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        first = asyncio.run(registry.get_pool(profile))

        async def again() -> asyncpg.Pool:
            pool = await registry.get_pool(profile)
            assert pool is not first
            assert await pool.fetchval("select 1") == 1
            await until_sessions_are(1, empty_dsn)  # the old one is hung up on
            await registry.reset()
            return pool

        asyncio.run(again())
        first = None
        gc.collect()


def test_loops_of_two_threads_have_a_pool_each(profile):
    registry = PoolRegistry()
    pools = []
    both_open = threading.Barrier(2, timeout=30)

    async def use() -> None:
        pool = await registry.get_pool(profile)
        pools.append(pool)
        await asyncio.to_thread(both_open.wait)
        assert await pool.fetchval("select 1") == 1
        await asyncio.to_thread(both_open.wait)
        await registry.reset()

    threads = [threading.Thread(target=lambda: asyncio.run(use())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({id(pool) for pool in pools}) == 2
    assert all(pool.is_closing() for pool in pools)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
async def test_a_pool_from_before_a_fork_is_left_alone_by_the_child(profile):
    registry = PoolRegistry()
    pool = await registry.get_pool(profile, max_size=1)
    assert await pool.fetchval("select 1") == 1

    def child() -> int:
        async def use() -> bool:
            mine = await registry.get_pool(profile)
            number = await mine.fetchval("select 2")
            await registry.reset()
            return mine is not pool and number == 2

        asyncio.events._set_running_loop(None)
        return 0 if asyncio.run(use()) else 3

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        pid = os.fork()
    if pid == 0:
        status = 4
        try:
            status = child()
        finally:
            os._exit(status)
    try:
        async with asyncio.timeout(30):
            while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
                await asyncio.sleep(0.02)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise
    status = ended[1]
    assert os.waitstatus_to_exitcode(status) == 0
    assert await pool.fetchval("select 3") == 3
    await registry.reset()


async def test_sessions_have_their_settings_and_keep_them_over_a_reset(profile):
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile, max_size=1)
        for _ in range(2):
            async with pool.acquire() as connection:
                assert await connection.fetchval("show jit") == "off"
                assert await connection.fetchval("show application_name") == "aiidadb"
                await connection.execute("set jit = on")


@pytest.mark.quick
async def test_what_users_set_in_a_session_is_undone_when_they_give_it_back(profile):
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile, max_size=1)
        async with pool.acquire() as connection:
            await connection.execute("set search_path = pg_catalog")
        async with pool.acquire() as connection:
            assert "public" in await connection.fetchval("show search_path")


async def test_a_refused_password_does_not_show(profile):
    async with PoolRegistry() as registry:
        await registry.get_pool(profile)
        with pytest.raises(PoolOptionsError) as raised:
            await registry.get_pool(profile, password="secret")
        assert "secret" not in str(raised.value)


async def test_its_pools_differ_from_asyncpgs_as_the_docstring_says(main_dsn):
    asked = """
        select
            current_setting('application_name') as name,
            current_setting('jit') as jit,
            current_setting('client_connection_check_interval') as interval,
            '{"a": [1]}'::jsonb as value
    """
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(aiidadb.Profile.from_dsn(main_dsn))
        row = dict(await pool.fetchrow(asked))
        assert row == {"name": "aiidadb", "jit": "off", "interval": "500ms", "value": {"a": [1]}}
        assert (pool.get_min_size(), pool.get_max_size()) == (0, 10)
        said = inspect.getdoc(PoolRegistry.get_pool)
        for one in ("application_name=aiidadb", "jit=off", "_check_interval=500ms", "``min_size``"):
            assert one in said
