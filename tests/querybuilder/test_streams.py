"""Rows from a cursor: however the reading ends, the connection is given back, and immediately."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

import aiidadb
from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.rows.row_cursor import RowCursor
from aiidadb.exceptions import AiidaDbError, ClosedError, QueryTimeout, ResourceError
from aiidadb.querybuilder import execution
from aiidadb.querybuilder.compiling.compiled import Compiled, Field
from aiidadb.querybuilder.execution import stream
from aiidadb.querybuilder.rows import as_lists
from tests.helpers.sleepers import wait_for_sleepers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

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
    other = await connect(backend.profile)
    try:
        async with other.transaction():
            await other.execute("lock table db_dbnode in access exclusive mode")
            with pytest.raises(QueryTimeout, match=r"did not answer within 0\.05 seconds: allow "):
                async for _ in nodes(backend, timeout=0.05).iterall(2):
                    pass
    finally:
        await other.close()


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
                    and backend_type = 'client backend'
                """
            )
        finally:
            await connection.close()
        assert busy == 0


# Two rows at a time: each takes long enough for no more to be fetched together. The third two take
# as long as nobody waits.
SLOW = "select pg_sleep(case when n > 4 then 60 else 0.005 end), n from generate_series(1, 9) as n"


def slow_rows(backend: aiidadb.Backend, **options: Any) -> AsyncGenerator[list[Any], None]:
    fields = (Field("n", "slept", 1, None), Field("n", "id", 1, None))
    given = {"batch_size": 2, "most": None, "seconds": None, **options}
    return stream(backend._session, Compiled(SLOW, (), (), (), fields), (), as_lists, **given)


async def read_to_the_third(
    backend: aiidadb.Backend, dsn: str, is_there: asyncio.Event | None = None
) -> None:
    """Work on the third of the slow rows, while the fifth is fetched."""
    async with contextlib.aclosing(slow_rows(backend)) as rows:
        async for _, number in rows:
            if number == 3:
                await wait_for_sleepers(dsn, 1)
                if is_there is not None:
                    is_there.set()
                await asyncio.sleep(LIMIT)


async def ahead_by_closing(backend: aiidadb.Backend, dsn: str) -> None:
    async with contextlib.aclosing(slow_rows(backend)) as rows:
        found = [(await anext(rows))[1] for _ in range(4)]  # all that come before the long sleep
        await wait_for_sleepers(dsn, 1)
    assert found == [1, 2, 3, 4]


async def ahead_by_break(backend: aiidadb.Backend, dsn: str) -> None:
    async for _, number in slow_rows(backend):
        if number == 3:
            await wait_for_sleepers(dsn, 1)
            break
    gc.collect()


async def ahead_by_error(backend: aiidadb.Backend, dsn: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with contextlib.aclosing(slow_rows(backend)) as rows:
            async for _, number in rows:
                if number == 3:
                    await wait_for_sleepers(dsn, 1)
                    raise ZeroDivisionError


async def ahead_by_cancelling(backend: aiidadb.Backend, dsn: str) -> None:
    is_there = asyncio.Event()
    task = asyncio.create_task(read_to_the_third(backend, dsn, is_there))
    await is_there.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def ahead_by_time(backend: aiidadb.Backend, dsn: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await read_to_the_third(backend, dsn)


async def ahead_by_a_sibling(backend: aiidadb.Backend, dsn: str) -> None:
    is_there = asyncio.Event()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(read_to_the_third(backend, dsn, is_there))
            await is_there.wait()
            raise ZeroDivisionError
    assert [type(one) for one in caught.value.exceptions] == [ZeroDivisionError]


async def ahead_by_its_timeout(backend: aiidadb.Backend, dsn: str) -> None:
    found = []
    with pytest.raises(QueryTimeout):
        async for _, number in slow_rows(backend, seconds=1.0):
            found += [number]
    assert found == [1, 2, 3, 4]  # the error comes in the place of the rows that it is of


async def ahead_by_max_rows(backend: aiidadb.Backend, dsn: str) -> None:
    found = []
    with pytest.raises(ResourceError, match="max_rows"):
        async for _, number in slow_rows(backend, most=3):
            found += [number]
    assert found == [1, 2]


AHEAD = [
    ahead_by_closing, ahead_by_break, ahead_by_error, ahead_by_cancelling, ahead_by_time,
    ahead_by_a_sibling, ahead_by_its_timeout, ahead_by_max_rows,
]  # fmt: skip


@pytest.mark.parametrize("end", AHEAD, ids=lambda one: one.__name__)
async def test_what_is_fetched_ahead_ends_on_the_server(
    narrow, aiida_world_dsn, end: Callable[..., Awaitable[None]]
):
    async with asyncio.timeout(LIMIT):
        await end(narrow, aiida_world_dsn)
        assert await nodes(narrow).count() > 30  # on the only connection
        await wait_for_sleepers(aiida_world_dsn, 0)


async def test_closing_the_backend_ends_what_is_fetched_ahead(aiida_world_dsn):
    async with asyncio.timeout(LIMIT):
        backend = await aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_world_dsn))
        async with contextlib.aclosing(slow_rows(backend)) as rows:
            found = [(await anext(rows))[1] for _ in range(3)]
            await wait_for_sleepers(aiida_world_dsn, 1)
            await backend.close(timeout=0.1)
            await wait_for_sleepers(aiida_world_dsn, 0)
            with pytest.raises(ClosedError):
                async for _, number in rows:
                    found += [number]
    assert found == [1, 2, 3, 4]


async def test_two_are_fetched_ahead_in_one_task(aiida_world_dsn):
    profile = aiidadb.Profile.from_dsn(aiida_world_dsn)
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(profile, max_size=2) as backend,
        contextlib.aclosing(slow_rows(backend)) as first,
        contextlib.aclosing(slow_rows(backend)) as second,
    ):
        found = [[(await anext(one))[1] for one in (first, second)] for _ in range(3)]
        assert found == [[1, 1], [2, 2], [3, 3]]
        await wait_for_sleepers(aiida_world_dsn, 2)
        await first.aclose()
        await wait_for_sleepers(aiida_world_dsn, 1)
        assert (await anext(second))[1] == 4
        await second.aclose()
        await wait_for_sleepers(aiida_world_dsn, 0)


async def test_in_a_transaction_nothing_is_fetched_ahead(narrow):
    async with (
        asyncio.timeout(LIMIT),
        narrow.transaction() as connection,
        contextlib.aclosing(slow_rows(narrow)) as rows,
    ):
        for number in range(1, 5):
            assert (await anext(rows))[1] == number
            await asyncio.sleep(0.01)
            assert await connection.fetchval("select 1") == 1


async def test_rows_that_come_quickly_are_fetched_more_at_a_time(world, monkeypatch):
    numbers = []
    fetch = RowCursor.fetch

    async def noted(self: RowCursor, number: int) -> list[asyncpg.Record]:
        numbers.append(number)
        return await fetch(self, number)

    monkeypatch.setattr(RowCursor, "fetch", noted)
    for quick, slow, expected in (
        (60.0, 60.0, [5, 10, 20, 20]),  # each is quick; up to the most
        (0.0, 0.0, [5] * 8),  # each is slow; never fewer than were asked for
        (0.0, 60.0, [5] * 8),
    ):
        monkeypatch.setattr(execution, "_QUICK", quick)
        monkeypatch.setattr(execution, "_SLOW", slow)
        monkeypatch.setattr(execution, "_MOST_TOGETHER", 20)
        numbers.clear()
        rows = [row async for row in nodes(world).limit(37).iterall(5)]
        assert rows == (await nodes(world).all())[:37]
        assert numbers == expected


async def test_others_have_their_turn_between_the_rows_of_one_fetch(world):
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    begin, since = 0, []
    text = "select n from generate_series(1, 1000) as n"
    compiled = Compiled(text, (), (), (), (Field("n", "id", 1, None),))
    given: dict[str, Any] = {"batch_size": 1000, "most": None, "seconds": None}
    async with contextlib.aclosing(stream(world._session, compiled, (), as_lists, **given)) as rows:
        async for (number,) in rows:
            if number % 100 == 1:
                since.append(turns - begin)
                begin = turns
    other.cancel()
    assert len(since) == 10
    assert min(since) > 0


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
