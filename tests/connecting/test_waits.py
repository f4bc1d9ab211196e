"""Every wait has a bound: for a place in the pool, for connecting, for a statement, for the end."""

import asyncio
import collections
import contextlib
import math
import time

import asyncpg
import pytest

import aiidadb
from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.pools.pool import PoolRegistry
from aiidadb.exceptions import (
    PoolError,
    PoolOptionsError,
    PoolTimeout,
    QueryTimeout,
    UnreachableStorage,
)
from tests.helpers.faults import proxy

BOUNDS = {"acquire_timeout": 2.0, "connect_timeout": 2.0, "command_timeout": 2.0}
IN_ALL = 2.0 + 2.0 + 2.0 + 10.0
IN_TIME = (PoolTimeout, UnreachableStorage, QueryTimeout)


@pytest.fixture
def profile(bare_dsn):
    return aiidadb.Profile.from_dsn(bare_dsn)


@contextlib.asynccontextmanager
async def behind_a_proxy(dsn, **options):
    """A backend, and the proxy that it reaches the server through."""
    async with (
        proxy(dsn) as between,
        PoolRegistry() as registry,
        aiidadb.open_backend(
            aiidadb.Profile.from_dsn(between.dsn), registry=registry, **(BOUNDS | options)
        ) as backend,
    ):
        yield between, backend


async def ended(call):
    """How long a call took to end, and its error."""
    begin = time.monotonic()
    with pytest.raises(aiidadb.AiidaDbError) as raised:
        await call
    return time.monotonic() - begin, raised.value


async def hold_all(backend, pool_size):
    """Take every connection of a backend's pool, until it is asked to release them."""
    holding, let_go = asyncio.Semaphore(0), asyncio.Event()

    async def hold():
        async with backend.transaction():
            await backend.settings.get_all()
            holding.release()
            await let_go.wait()

    tasks = [asyncio.create_task(hold()) for _ in range(pool_size)]
    for _ in tasks:
        await holding.acquire()
    return tasks, let_go


async def test_a_place_in_a_full_pool_is_waited_for_no_longer_than_allowed(profile):
    async with aiidadb.open_backend(profile, max_size=2, acquire_timeout=0.2) as backend:
        tasks, let_go = await hold_all(backend, 2)
        seconds, error = await ended(backend.settings.get_all())
        assert type(error) is PoolTimeout
        assert isinstance(error, PoolError)
        assert 0.2 <= seconds < 5
        for said in ("2 connections", "0.2 seconds", "max_size", "acquire_timeout"):
            assert said in str(error)
        let_go.set()
        await asyncio.gather(*tasks)
        await backend.settings.get_all()


async def test_whoever_gets_a_place_in_time_is_served(profile):
    async with aiidadb.open_backend(profile, max_size=2, acquire_timeout=30) as backend:
        tasks, let_go = await hold_all(backend, 2)
        waiting = [asyncio.create_task(backend.settings.get_all()) for _ in range(20)]
        await asyncio.sleep(0.1)
        let_go.set()
        await asyncio.gather(*tasks, *waiting)


async def test_waiting_without_a_bound_is_to_be_had(profile):
    async with aiidadb.open_backend(profile, max_size=1, acquire_timeout=None) as backend:
        tasks, let_go = await hold_all(backend, 1)
        waiting = asyncio.create_task(backend.settings.get_all())
        done, _ = await asyncio.wait((waiting,), timeout=0.5)
        assert not done
        let_go.set()
        await asyncio.gather(*tasks, waiting)


async def test_connecting_is_no_part_of_waiting_for_a_place(profile, monkeypatch):
    really_connect = asyncpg.connect

    async def connect_slowly(*arguments, **options):
        await asyncio.sleep(0.6)
        return await really_connect(*arguments, **options)

    monkeypatch.setattr(asyncpg, "connect", connect_slowly)
    async with aiidadb.open_backend(profile, max_size=3, acquire_timeout=0.3) as backend:
        await backend._session.pool.expire_connections()  # each must connect again
        await asyncio.gather(*(backend.settings.get_all() for _ in range(3)))


async def test_the_callers_setup_is_no_part_of_waiting_for_a_place(profile):
    async def set_up(connection):
        await connection.execute("select pg_sleep(0.6)")

    async with aiidadb.open_backend(profile, acquire_timeout=0.3, setup=set_up) as backend:
        await backend.settings.get_all()


async def test_those_who_take_connections_of_the_pool_itself_stand_in_the_same_queue(profile):
    ends = []

    async def ask(backend):
        _, error = await ended(backend.settings.get_all())
        ends.append((backend, type(error)))

    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile, max_size=2)
        async with (
            aiidadb.open_backend(profile, registry=registry, acquire_timeout=0.3) as one,
            aiidadb.open_backend(profile, registry=registry, acquire_timeout=0.6) as two,
        ):
            async with pool.acquire(), pool.acquire():
                await asyncio.gather(ask(one), ask(two))
                assert ends == [(one, PoolTimeout), (two, PoolTimeout)]
            await asyncio.gather(one.settings.get_all(), two.settings.get_all())


async def test_a_cancelled_waiter_takes_no_place_with_it(profile):
    async with aiidadb.open_backend(profile, max_size=1, acquire_timeout=30) as backend:
        for pause in (0.0, 0.001, 0.01):
            tasks, let_go = await hold_all(backend, 1)
            waiting = [asyncio.create_task(backend.settings.get_all()) for _ in range(10)]
            await asyncio.sleep(pause)
            for task in waiting[::2]:
                task.cancel()
            let_go.set()
            await asyncio.gather(*tasks, *waiting[1::2])
            for task in waiting[::2]:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        async with asyncio.timeout(10):
            await backend.settings.get_all()


async def test_waiters_that_give_up_as_places_become_free_lose_none(profile):
    async with aiidadb.open_backend(profile, max_size=2, acquire_timeout=0.02) as backend:
        ends = collections.Counter()

        async def ask(number):
            await asyncio.sleep(number % 7 * 0.003)
            try:
                await backend._session.fetch("select pg_sleep(0.01)")
            except PoolTimeout:
                ends["too late"] += 1
            else:
                ends["served"] += 1

        await asyncio.gather(*(ask(number) for number in range(60)))
        assert ends["too late"] > 0
        assert ends["served"] > 0
        tasks, let_go = await hold_all(backend, 2)  # both are still there
        let_go.set()
        await asyncio.gather(*tasks)


async def test_each_of_200_tasks_ends_in_time_behind_a_server_that_falls_silent(main_dsn):
    async with behind_a_proxy(main_dsn, max_size=10) as (between, backend):

        async def read():
            await backend.settings.get_all()

        async def change():
            async with backend.transaction():
                await backend.settings.set("a", 1)

        async def delete():
            await backend.delete_nodes_and_connections([1])

        await asyncio.gather(*(read() for _ in range(10)))
        kinds = (read, change, delete)
        tasks = [asyncio.create_task(ended(kinds[at % 3]())) for at in range(200)]
        between.fall_silent()
        ends = await asyncio.wait_for(asyncio.gather(*tasks), 60)
        assert max(seconds for seconds, _ in ends) < IN_ALL
        kinds_of_errors = {type(error) for _, error in ends}
        assert kinds_of_errors <= set(IN_TIME)
        assert kinds_of_errors >= {PoolTimeout, QueryTimeout}
        # The connections are cut by now, and new ones cannot be made.
        seconds, error = await ended(backend.settings.get_all())
        assert seconds < IN_ALL
        assert isinstance(error, UnreachableStorage)
        between.passing.set()
        await asyncio.wait_for(backend.settings.get_all(), 30)


@pytest.mark.thorough
async def test_what_a_timeout_is_followed_by_takes_no_second_one(bare_dsn):
    async with behind_a_proxy(bare_dsn, command_timeout=12) as (between, backend):

        async def fall_silent_inside() -> None:
            async with backend.transaction():
                await backend.settings.get_all()
                between.fall_silent()
                await backend.settings.get_all()

        seconds, error = await ended(fall_silent_inside())
        assert isinstance(error, QueryTimeout)
        assert 12 <= seconds < 12 + 10


async def test_those_that_wait_for_one_connection_do_not_wait_for_each_other(bare_dsn):
    async with behind_a_proxy(bare_dsn, max_size=1) as (between, backend):
        await backend.settings.get_all()
        between.fall_silent()
        ends = await asyncio.gather(*(ended(backend.settings.get_all()) for _ in range(4)))
        assert max(seconds for seconds, _ in ends) < IN_ALL
        assert all(isinstance(error, IN_TIME) for _, error in ends)


async def test_leaving_ends_in_time_behind_a_server_that_fell_silent(bare_dsn):
    async with contextlib.AsyncExitStack() as stack:
        between, backend = await stack.enter_async_context(behind_a_proxy(bare_dsn, max_size=3))
        await asyncio.gather(*(backend.settings.get_all() for _ in range(3)))
        between.fall_silent()
        asking = asyncio.create_task(ended(backend.settings.get_all()))
        await asyncio.sleep(0.1)
        begin = time.monotonic()
        await stack.aclose()
        assert time.monotonic() - begin < 20
        await asking


@pytest.mark.parametrize("min_size", [0, 3])
async def test_opening_ends_in_time_where_nobody_answers(bare_dsn, min_size):
    async with proxy(bare_dsn) as between, PoolRegistry() as registry:
        between.fall_silent()
        silent = aiidadb.Profile.from_dsn(between.dsn)
        seconds, error = await ended(
            registry.get_pool(silent, connect_timeout=0.5, min_size=min_size)
        )
        assert type(error) is UnreachableStorage
        assert 0.5 <= seconds < 5
        for said in (silent.host, str(silent.port), "0.5 seconds"):
            assert said in str(error)
        between.passing.set()
        await registry.get_pool(silent, connect_timeout=30, min_size=min_size)


async def test_all_who_open_at_once_where_nobody_answers_end_together(bare_dsn):
    async with proxy(bare_dsn) as between, PoolRegistry() as registry:
        between.fall_silent()
        silent = aiidadb.Profile.from_dsn(f"{between.dsn}?connect_timeout=1")
        ends = await asyncio.gather(*(ended(registry.get_pool(silent)) for _ in range(20)))
        assert {type(error) for _, error in ends} == {UnreachableStorage}
        assert max(seconds for seconds, _ in ends) < 5


async def test_a_server_that_falls_silent_after_the_login_has_not_answered_either(bare_dsn):
    async with proxy(bare_dsn) as between, PoolRegistry() as registry:

        def stop_after_login(answer: bytes) -> bytes:
            if b"server_version" in answer:
                between.fall_silent()
            return answer

        between.edit_answer = stop_after_login
        silent = aiidadb.Profile.from_dsn(between.dsn)
        seconds, error = await ended(registry.get_pool(silent, connect_timeout=0.5))
        assert type(error) is UnreachableStorage
        assert seconds < 5


async def test_connecting_outside_of_pools_has_a_bound_too(bare_dsn):
    async with proxy(bare_dsn) as between:
        between.fall_silent()
        silent = aiidadb.Profile.from_dsn(between.dsn)
        seconds, error = await ended(connect(silent, connect_timeout=0.5))
        assert type(error) is UnreachableStorage
        assert seconds < 5


async def test_a_profiles_own_time_to_connect_holds_where_the_caller_says_nothing(bare_dsn):
    async with proxy(bare_dsn) as between:
        between.fall_silent()
        silent = aiidadb.Profile.from_dsn(f"{between.dsn}?connect_timeout=1")
        for options, said in (({}, "1 second"), ({"connect_timeout": 0.5}, "0.5 seconds")):
            with pytest.raises(UnreachableStorage, match=said):
                async with aiidadb.open_backend(silent, **options):
                    pass


async def test_of_several_hosts_each_is_told_with_what_it_lacked(bare_dsn):
    async with proxy(bare_dsn) as one, proxy(bare_dsn) as two:
        one.fall_silent()
        two.fall_silent()
        ports = [aiidadb.Profile.from_dsn(between.dsn).port for between in (one, two)]
        several = aiidadb.Profile.from_dsn(
            f"postgresql://postgres@127.0.0.1:{ports[0]},127.0.0.1:1,127.0.0.1:{ports[1]}/x"
        )
        seconds, error = await ended(connect(several, connect_timeout=0.5))
        assert type(error) is UnreachableStorage
        assert 1.0 <= seconds < 5
        for said in ("3 hosts", str(ports[0]), str(ports[1]), "port 1", "0.5 seconds"):
            assert said in str(error)


@pytest.mark.parametrize("name", ["acquire_timeout", "connect_timeout", "command_timeout"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "5", True, 10**400])
async def test_what_is_no_time_is_refused(profile, name, value):
    with pytest.raises(PoolOptionsError, match=name):
        async with aiidadb.open_backend(profile, **{name: value}):
            pass


async def test_asyncpgs_own_timeout_is_refused(profile):
    with pytest.raises(PoolOptionsError, match="connect_timeout"):
        async with aiidadb.open_backend(profile, timeout=5):
            pass
    async with PoolRegistry() as registry:
        with pytest.raises(PoolOptionsError, match="connect_timeout"):
            await registry.get_pool(profile, timeout=5)


async def test_what_opens_connections_may_still_be_the_callers(profile):
    called = []

    async def connect_as_told(*arguments, **options):
        called.append(options["timeout"])
        return await asyncpg.connect(*arguments, **options)

    async with aiidadb.open_backend(
        profile, connect=connect_as_told, connect_timeout=5, acquire_timeout=5
    ) as backend:
        await backend.settings.get_all()
    assert set(called) == {5}
