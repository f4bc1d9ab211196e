"""Long calls take some of a pool's connections at a time, and leave the others to short ones."""

from __future__ import annotations

import asyncio
import contextlib
import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from pypika import Query

import aiidadb
from aiidadb import nodes
from aiidadb.connecting.pools.lanes import Lanes
from aiidadb.exceptions import ClosedError, PoolOptionsError, PoolTimeout
from tests.helpers.cancelling import EACH_WAY, outcome_of
from tests.helpers.graphs import BANDS, Node, write_groups, write_nodes, write_users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.helpers.cancelling import Way

    Call = Callable[[aiidadb.Backend], Awaitable[object]]

LIMIT = 20  # seconds, far beyond what any of these takes

LONG: dict[str, Call] = {
    "statistics": lambda backend: backend.queries.get_creation_statistics(),
    "listing of all": lambda backend: backend.queries.get_bands_and_parents_structure(
        all_users=True
    ),
    "closest parents of 101": lambda backend: backend.queries.get_closest_parents(range(1, 102)),
    "all parents of 101": lambda backend: backend.queries.get_all_parents(range(1, 102)),
    "columns of all parents of 101": lambda backend: backend.queries.get_all_parents(
        range(1, 102), ("id", "label")
    ),
    "duplicate UUIDs": lambda backend: backend.queries.get_duplicate_uuids("db_dbnode"),
    "nodes to delete": lambda backend: backend.get_nodes_to_delete(1),
    "preview": lambda backend: backend.preview_deletion(1),
    "deletion": lambda backend: backend.delete_nodes_and_connections(1),
}

SHORT: dict[str, Call] = {
    "settings": lambda backend: backend.settings.get_all(),
    "one node": lambda backend: backend.queries.fetch(
        Query.from_(nodes).select(nodes.uuid).where(nodes.id == 1)
    ),
    "listing of a group": lambda backend: backend.queries.get_bands_and_parents_structure(
        all_users=True, group_name="a"
    ),
    "closest parents of 100": lambda backend: backend.queries.get_closest_parents(range(1, 101)),
    "all parents of 100": lambda backend: backend.queries.get_all_parents(range(1, 101)),
}


def backends(dsn: str, **options: Any) -> contextlib.AbstractAsyncContextManager[aiidadb.Backend]:
    return aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn), **options)


@pytest_asyncio.fixture
async def four(bare_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """A backend with four connections, of which one is for long calls; nothing takes forever."""
    async with asyncio.timeout(LIMIT), backends(bare_dsn, max_size=4) as backend:
        yield backend


@contextlib.asynccontextmanager
async def lanes_held(backend: aiidadb.Backend, number: int = 1) -> AsyncIterator[None]:
    """So many lanes are taken by other tasks; they are given back at the end, or sooner."""
    taken, let_go = asyncio.Semaphore(0), asyncio.Event()

    async def hold() -> None:
        async with backend._session.lane():
            taken.release()
            await let_go.wait()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(number):
            tasks.create_task(hold())
        for _ in range(number):
            await taken.acquire()
        try:
            yield
        finally:
            let_go.set()


async def waits(call: Awaitable[object]) -> asyncio.Task[object]:
    """Start a call that is not done soon."""
    task = asyncio.ensure_future(call)
    assert isinstance(task, asyncio.Task)
    done, _ = await asyncio.wait((task,), timeout=0.05)
    assert not done
    return task


async def number_of_lanes(backend: aiidadb.Backend) -> int:
    """How many long calls can be under way together, tried out."""
    let_go = asyncio.Event()
    number = 0

    async def hold() -> None:
        nonlocal number
        async with backend._session.lane():
            number += 1
            await let_go.wait()

    asking = [asyncio.create_task(hold()) for _ in range(20)]
    await asyncio.sleep(0)  # each has asked, and has a lane that is free
    found = number
    let_go.set()
    await asyncio.gather(*asking)
    assert found < len(asking) == number
    return found


async def long_call(backend: aiidadb.Backend, done: list[object] | None = None) -> None:
    async with backend._session.lane():
        await backend.settings.get_all()
        if done is not None:
            done.append(asyncio.current_task())


# ------------------------------------------------------------------------------ which calls


@pytest.mark.quick
@pytest.mark.parametrize("call", LONG.values(), ids=LONG)
async def test_a_long_call_waits_for_a_lane(four: aiidadb.Backend, call: Call) -> None:
    async with lanes_held(four):
        waiting = await waits(call(four))
    await waiting


@pytest.mark.quick
@pytest.mark.parametrize("call", SHORT.values(), ids=SHORT)
async def test_a_short_call_does_not(four: aiidadb.Backend, call: Call) -> None:
    async with lanes_held(four):
        await call(four)


async def test_a_listing_is_a_long_call_where_a_group_has_many_bands(main_dsn: str) -> None:
    async with asyncio.timeout(LIMIT), backends(main_dsn, max_size=4) as backend:
        await write_users(backend._session, "ada@epfl.ch")
        bands = [Node(pk, BANDS) for pk in range(1, 102)]
        await write_nodes(backend._session, bands, line="main")
        await write_groups(backend._session, {"few": range(1, 101), "many": range(1, 102)})
        list_bands = partial(backend.queries.get_bands_and_parents_structure, all_users=True)
        async with lanes_held(backend):
            assert len(await list_bands(group_name="few")) == 100
            waiting = await waits(list_bands(group_name="many"))
            async with backend.transaction():
                assert len(await list_bands(group_name="many")) == 101
        rows = await waiting
        assert isinstance(rows, list)
        assert len(rows) == 101


async def test_short_calls_find_a_connection_beside_any_number_of_long_ones(
    bare_dsn: str,
) -> None:
    async with (
        asyncio.timeout(LIMIT),
        backends(bare_dsn, max_size=3, max_long=2, acquire_timeout=1) as backend,
    ):

        async def take_long() -> None:
            async with backend._session.lane():
                await backend._session.fetch("select pg_sleep(60)")

        long = [asyncio.create_task(take_long()) for _ in range(10)]
        await asyncio.sleep(0.1)
        for _ in range(20):
            await backend.settings.get_all()
        for task in long:
            task.cancel()
        await asyncio.wait(long)


@pytest.mark.parametrize("call", LONG.values(), ids=LONG)
async def test_inside_a_transaction_no_call_takes_a_lane(four: aiidadb.Backend, call: Call) -> None:
    async with lanes_held(four), four.transaction():
        await call(four)


@pytest.mark.parametrize("call", LONG.values(), ids=LONG)
async def test_a_call_inside_of_a_long_call_takes_no_second_lane(
    four: aiidadb.Backend, call: Call
) -> None:
    async with four._session.lane():
        await call(four)
        async with four._session.lane():
            pass
        other = await waits(long_call(four))
    await other


async def test_a_task_that_was_started_inside_of_a_long_call_needs_a_lane_of_its_own(
    four: aiidadb.Backend,
) -> None:
    started: list[asyncio.Task[None]] = []

    def start(done: int, total: int) -> None:
        started.append(asyncio.create_task(long_call(four)))

    pks = range(1, 102)
    async with lanes_held(four):
        asking = await waits(four.queries.get_closest_parents(pks, progress=start))
        assert not started
    await asking
    assert started
    await asyncio.gather(*started)


async def test_the_next_long_call_of_a_task_needs_a_lane_again(four: aiidadb.Backend) -> None:
    await long_call(four)
    async with lanes_held(four):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await long_call(four)
    await long_call(four)


# ------------------------------------------------------------------------------ how many


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({}, 2),
        ({"max_size": 1}, 1),
        ({"max_size": 4}, 1),
        ({"max_size": 15}, 3),
        ({"max_size": 5, "max_long": 1}, 1),
        ({"max_size": 5, "max_long": 5}, 5),
    ],
    ids=str,
)
async def test_a_fifth_of_the_connections_or_what_the_caller_says(
    bare_dsn: str, options: dict[str, int], number: int
) -> None:
    async with asyncio.timeout(LIMIT), backends(bare_dsn, **options) as backend:
        assert await number_of_lanes(backend) == number


@pytest.mark.parametrize(
    "value",
    [0, -1, 1.5, "2", True, 11, 10**9, 10**400, float("nan")],
    ids=lambda value: str(value)[:9],
)
async def test_what_is_no_number_of_lanes_is_refused(bare_dsn: str, value: Any) -> None:
    with pytest.raises(PoolOptionsError, match="max_long must be a whole number from 1 to"):
        async with backends(bare_dsn, max_size=10, max_long=value):
            pass


async def test_the_lanes_are_the_pools(bare_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.PoolRegistry() as registry,
        backends(bare_dsn, registry=registry, max_size=6, max_long=2) as one,
        backends(bare_dsn, registry=registry) as two,
        backends(bare_dsn, registry=registry, max_long=2),
    ):
        with pytest.raises(
            PoolOptionsError,
            match=r"already open with max_long=2 \(requested: 3\): close the backends that have it "
            r"open, leave the option out, or give open_backend\(\) registry=PoolRegistry\(\)",
        ):
            async with backends(bare_dsn, registry=registry, max_long=3):
                pass
        async with lanes_held(one), lanes_held(two):
            waiting = await waits(long_call(two))
        await waiting


async def test_whoever_opens_the_pool_says_how_many(bare_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with asyncio.timeout(LIMIT), aiidadb.PoolRegistry() as registry:
        await registry.get_pool(profile, max_size=4, max_long=3)
        async with backends(bare_dsn, registry=registry) as backend:
            assert await number_of_lanes(backend) == 3


# ------------------------------------------------------------------------------ the wait


async def test_waiting_is_bounded_by_the_time_of_a_statement_alone(bare_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        backends(bare_dsn, max_size=4, acquire_timeout=0.1, command_timeout=0.4) as backend,
    ):
        async with lanes_held(backend):
            begin = asyncio.get_running_loop().time()
            with pytest.raises(PoolTimeout) as caught:
                await backend.queries.get_creation_statistics()
            assert asyncio.get_running_loop().time() - begin >= 0.4
        for said in ("long call", "1 at a time", "0.4 seconds", "max_long", "command_timeout"):
            assert said in str(caught.value)
        assert await number_of_lanes(backend) == 1


async def test_waiting_without_a_bound_is_to_be_had(bare_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        backends(bare_dsn, max_size=4, command_timeout=None) as backend,
    ):
        async with lanes_held(backend):
            waiting = await waits(backend.queries.get_creation_statistics())
        await waiting
        async with lanes_held(backend):
            waiting = await waits(backend.queries.get_creation_statistics())
            await backend.close()
            with pytest.raises(ClosedError):
                await waiting


async def test_who_waits_is_served_in_the_order_of_asking(four: aiidadb.Backend) -> None:
    served: list[object] = []
    async with lanes_held(four):
        waiting = [await waits(long_call(four, served)) for _ in range(5)]
        waiting[1].cancel()
    # Comes as the first of them has been called, and before it runs.
    late = asyncio.create_task(long_call(four, served))
    await asyncio.wait((*waiting, late))
    assert served == [waiting[0], *waiting[2:], late]


@pytest.mark.parametrize("way", EACH_WAY, ids=lambda way: way.__name__)
async def test_a_wait_that_is_cancelled_leaves_no_hole(four: aiidadb.Backend, way: Way) -> None:
    async with lanes_held(four):
        error = await outcome_of(long_call(four), way)
        assert isinstance(error, asyncio.CancelledError)
        behind = await waits(long_call(four))
    await behind
    assert await number_of_lanes(four) == 1


@pytest.mark.parametrize("way", EACH_WAY, ids=lambda way: way.__name__)
async def test_a_long_call_that_is_cancelled_gives_its_lane_back(
    four: aiidadb.Backend, way: Way
) -> None:
    async def take_long() -> None:
        async with four._session.lane():
            await four._session.fetch("select pg_sleep(60)")

    error = await outcome_of(take_long(), way)
    assert isinstance(error, asyncio.CancelledError)
    assert await number_of_lanes(four) == 1


def own_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def test_who_is_cancelled_as_the_lane_comes_hands_it_on() -> None:
    lanes = Lanes(1, None)
    await lanes.take(task := own_task(), set())
    first, second = [await waits(lanes.take(own_task(), set())) for _ in range(2)]
    lanes.give_back(task)  # to the first, which does not run before it is cancelled
    first.cancel()
    async with asyncio.timeout(LIMIT):
        await second
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_whose_time_is_over_as_the_lane_comes_hands_it_on() -> None:
    lanes = Lanes(1, None)
    bounds: set[asyncio.Timeout] = set()
    await lanes.take(task := own_task(), set())
    first, second = (
        await waits(lanes.take(own_task(), bounds)),
        await waits(lanes.take(own_task(), set())),
    )
    (bound,) = bounds
    bound.reschedule(asyncio.get_running_loop().time())
    lanes.give_back(task)  # to the first, whose time is over before it runs
    async with asyncio.timeout(LIMIT):
        await second
        with pytest.raises(TimeoutError):
            await first


async def test_lanes_outlast_any_mixture_of_ends() -> None:
    chance = random.Random(8)
    lanes = Lanes(3, 0.004)
    most = under_way = 0
    ends: set[str] = set()

    async def hold() -> None:
        nonlocal most, under_way
        try:
            await lanes.take(task := own_task(), set())
        except TimeoutError:
            ends.add("timed out")
            return
        except asyncio.CancelledError:
            ends.add("cancelled")
            raise
        under_way += 1
        most = max(most, under_way)
        try:
            await asyncio.sleep(chance.random() * 0.002)
            ends.add("served")
        finally:
            under_way -= 1
            lanes.give_back(task)

    async with asyncio.timeout(LIMIT):
        for _ in range(60):
            tasks = [asyncio.create_task(hold()) for _ in range(15)]
            for task in chance.sample(tasks, 5):
                asyncio.get_running_loop().call_later(chance.random() * 0.004, task.cancel)
            await asyncio.wait(tasks)
        assert ends == {"served", "timed out", "cancelled"}
        assert most == 3
        for _ in range(3):  # all are there
            await lanes.take(own_task(), set())
    with pytest.raises(TimeoutError):
        await lanes.take(own_task(), set())


# ------------------------------------------------------------------------------ the end


async def test_closing_a_backend_ends_its_waits_at_once_and_no_others(bare_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        backends(bare_dsn, max_size=4) as one,
        backends(bare_dsn) as two,
    ):
        async with lanes_held(one):
            of_one, of_two = await waits(long_call(one)), await waits(long_call(two))
            await one.close(timeout=None)
            with pytest.raises(ClosedError, match="the backend was closed while"):
                await of_one
            assert not of_two.done()
        await of_two
        assert await number_of_lanes(two) == 1
        with pytest.raises(ClosedError):
            await one.queries.get_creation_statistics()


async def test_a_reset_ends_all_waits_at_once(bare_dsn: str) -> None:
    async with asyncio.timeout(LIMIT), aiidadb.PoolRegistry() as registry:
        async with backends(bare_dsn, registry=registry, max_size=4) as backend:
            async with lanes_held(backend):
                waiting = [await waits(long_call(backend)) for _ in range(3)]
                await registry.reset()
                for task in waiting:
                    with pytest.raises(ClosedError, match="reset: open the backend again"):
                        await task
                with pytest.raises(ClosedError):
                    await backend.queries.get_creation_statistics()
            with pytest.raises(ClosedError):
                await backend.queries.get_creation_statistics()
        async with backends(bare_dsn, registry=registry, max_size=4) as backend:
            assert await number_of_lanes(backend) == 1


async def test_a_wait_that_is_cancelled_as_the_pool_is_reset_is_over(bare_dsn: str) -> None:
    lanes = Lanes(1, None)
    await lanes.take(own_task(), set())

    async def wait() -> None:
        await lanes.take(own_task(), set())

    waiting = await waits(wait())
    lanes.close()
    waiting.cancel()
    with pytest.raises((asyncio.CancelledError, ClosedError)):
        await waiting
