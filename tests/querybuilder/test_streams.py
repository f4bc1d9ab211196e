"""Rows from a cursor: however the reading ends, the connection is given back, and immediately."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

import aiidadb
from aiidadb.exceptions import AiidaDbError, QueryTimeout, ResourceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

LIMIT = 30


@pytest_asyncio.fixture
async def narrow(aiida_world_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """A backend with one connection, which has to come back before anything else is asked."""
    profile = aiidadb.Profile.from_dsn(aiida_world_dsn)
    async with aiidadb.open_backend(profile, max_size=1, acquire_timeout=5.0) as backend:
        yield backend


def nodes(backend: aiidadb.Backend, **options: object) -> aiidadb.QueryBuilder:
    return backend.query(**options).append("", tag="n", project="id").order_by({"n": "id"})


async def read_slowly(backend: aiidadb.Backend) -> None:
    async for _ in nodes(backend).iterall(2):
        await asyncio.sleep(0.01)


async def by_break(backend: aiidadb.Backend) -> None:
    async for _ in nodes(backend).iterall(2):
        break
    gc.collect()


async def by_closing(backend: aiidadb.Backend) -> None:
    async with contextlib.aclosing(nodes(backend).iterdict(2)) as rows:
        await anext(rows)


async def by_error(backend: aiidadb.Backend) -> None:
    with pytest.raises(ZeroDivisionError):
        async for _ in nodes(backend).iterall(2):
            raise ZeroDivisionError


async def by_cancelling(backend: aiidadb.Backend) -> None:
    task = asyncio.create_task(read_slowly(backend))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_time(backend: aiidadb.Backend) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await read_slowly(backend)


async def by_a_sibling(backend: aiidadb.Backend) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(read_slowly(backend))
            await asyncio.sleep(0.05)
            raise ZeroDivisionError
    assert [type(one) for one in caught.value.exceptions] == [ZeroDivisionError]


async def by_its_timeout(backend: aiidadb.Backend) -> None:
    with pytest.raises(QueryTimeout):
        async for _ in nodes(backend, timeout=1e-6).iterall(2):
            pass


async def by_max_rows(backend: aiidadb.Backend) -> None:
    number = 0
    with pytest.raises(ResourceError, match="max_rows"):
        async for _ in nodes(backend, max_rows=3).iterall(2):
            number += 1
    assert number == 2


ENDS = [
    by_break, by_closing, by_error, by_cancelling, by_time, by_a_sibling, by_its_timeout,
    by_max_rows,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS, ids=lambda one: one.__name__)
async def test_the_connection_comes_back(
    narrow, aiida_world_dsn, end: Callable[..., Awaitable[None]]
):
    async with asyncio.timeout(LIMIT):
        for _ in range(2):
            await end(narrow)
            assert await nodes(narrow).count() > 30
        connection = await asyncpg.connect(aiida_world_dsn)
        try:
            busy = await connection.fetchval(
                """
                select count(*) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
                """
            )
        finally:
            await connection.close()
        assert busy == 0


async def test_several_are_read_side_by_side(world):
    async with asyncio.timeout(LIMIT):
        streams = [nodes(world).iterall(size) for size in (1, 7, 100)]
        found: list[list[int]] = [[], [], []]
        while any([await _read_one(one, to) for one, to in zip(streams, found, strict=True)]):
            pass
        assert found[0] == found[1] == found[2] == await nodes(world).all(flat=True)


async def _read_one(stream: AsyncIterator[list[int]], to: list[int]) -> bool:
    row = await anext(stream, None)
    if row is not None:
        to += row
    return row is not None


async def test_in_a_transaction_others_are_asked_in_between(world):
    with contextlib.suppress(ZeroDivisionError):
        async with asyncio.timeout(LIMIT), world.transaction() as connection:
            pks = await nodes(world).all(flat=True)
            found = []
            async for (pk,) in nodes(world).iterall(3):
                found.append(pk)
                await connection.execute("update db_dbnode set label = 'x' where id = $1", pk)
                query = world.query().append("", filters={"label": "x"})
                assert await query.count() == len(found)
            assert found == pks
            first, second = nodes(world).iterall(2), nodes(world).iterall(2)
            rows = [await anext(one) for one in (first, second, first)]
            assert rows == [[pks[0]], [pks[0]], [pks[1]]]
            await first.aclose()
            await second.aclose()
            async for _ in nodes(world).iterall(2):
                break
            assert await nodes(world).count() == len(pks)
            raise ZeroDivisionError
    assert await world.query().append("", filters={"label": "x"}).count() == 0


def test_one_that_is_left_open_ends_with_its_loop(aiida_world_dsn):
    left = []

    async def leave() -> None:
        profile = aiidadb.Profile.from_dsn(aiida_world_dsn)
        async with aiidadb.open_backend(profile) as backend:
            rows = nodes(backend).iterall(2)
            left.append(rows)
            assert await anext(rows)
            await backend.close(timeout=0.1)

    async def rest() -> None:
        with contextlib.suppress(AiidaDbError, StopAsyncIteration):
            for _ in range(9):
                await anext(left[0])
            raise AssertionError("rows came from a backend that is closed")

    asyncio.run(asyncio.wait_for(leave(), LIMIT))
    asyncio.run(asyncio.wait_for(rest(), LIMIT))
