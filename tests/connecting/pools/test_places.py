"""Places in a pool are given in turn; leaving the queue leaves no hole in it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

import aiidadb
from aiidadb.connecting.pools.places import Places
from aiidadb.connecting.pools.pool import PoolRegistry
from aiidadb.exceptions import PoolTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT = 20  # seconds, far beyond what any of these takes

pytestmark = pytest.mark.quick


@pytest.fixture
async def backend(bare_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """A backend with a pool of one connection."""
    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(profile, registry=PoolRegistry(), max_size=1) as opened,
    ):
        yield opened


async def test_calls_are_served_in_the_order_in_which_they_came(backend: aiidadb.Backend) -> None:
    served: list[int] = []

    async def call(number: int) -> None:
        await backend.settings.get_all()
        served.append(number)

    async with backend.connection():
        calls = [asyncio.create_task(call(number)) for number in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert served == list(range(50))


async def test_a_call_that_is_cancelled_in_the_queue_lets_the_next_go_on(
    backend: aiidadb.Backend,
) -> None:
    async with backend.connection():
        calls = [asyncio.create_task(backend.settings.get_all()) for _ in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
    assert await calls[1] == []
    assert calls[0].cancelled()
    assert await calls[2] == []
    assert await backend.settings.get_all() == []


async def test_a_call_that_is_cancelled_as_its_turn_comes_passes_it_on(
    backend: aiidadb.Backend,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(backend.connection())
        calls = [asyncio.create_task(backend.settings.get_all()) for _ in range(3)]
        await asyncio.sleep(0)
        let_go = asyncio.ensure_future(stack.aclose())
        while not any(turn.done() for turn in backend._session._taken._turns):
            await asyncio.sleep(0)
        calls[0].cancel()
        await let_go
    assert await calls[1] == []
    assert calls[0].cancelled()
    assert await calls[2] == []


async def test_backends_on_one_pool_share_its_places(bare_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with (
        asyncio.timeout(LIMIT),
        PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, max_size=1) as one,
        aiidadb.open_backend(profile, registry=registry, acquire_timeout=0.1) as other,
    ):
        async with one.connection():
            waits = asyncio.create_task(one.settings.get_all())
            with pytest.raises(PoolTimeout):
                await other.settings.get_all()
        await waits
        await other.settings.get_all()


async def test_each_call_waits_for_as_long_as_it_may(bare_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with (
        asyncio.timeout(LIMIT),
        PoolRegistry() as registry,
        aiidadb.open_backend(
            profile, registry=registry, max_size=1, acquire_timeout=0.3
        ) as backend,
    ):
        loop = asyncio.get_running_loop()

        async def waited() -> float:
            begin = loop.time()
            with pytest.raises(PoolTimeout):
                await backend.settings.get_all()
            return loop.time() - begin

        async with backend.connection():
            early = asyncio.create_task(waited())
            await asyncio.sleep(0.2)
            late = asyncio.create_task(waited())
            assert min(await asyncio.gather(early, late)) >= 0.29


def test_a_place_that_was_given_to_who_is_cancelled_is_free_again() -> None:
    async def give() -> None:
        places = Places(1)
        assert places.enter()
        assert not places.enter()
        turn = places.queue_up()
        places.leave()
        assert await turn
        places.give_up(turn)
        assert places.enter()

    asyncio.run(give())


async def test_who_waits_no_longer_is_not_given_a_place() -> None:
    places = Places(1)
    assert places.enter()
    first, second, third = places.queue_up(), places.queue_up(), places.queue_up()
    places.end_wait(first)
    second.cancel()
    places.leave()
    places.give_up(second)  # it was skipped already
    assert not await first
    assert await third
