"""Generators in a task of their own."""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from aiidadb.connecting.own_task import InOwnTask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

place: ContextVar[str] = ContextVar("place", default="nowhere")


async def some_turns() -> None:
    """Let other tasks do all that they can do without waiting for time to pass."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.quick
async def test_what_is_set_inside_is_not_set_for_whoever_iterates() -> None:
    seen = []

    async def items() -> AsyncGenerator[str, None]:
        token = place.set("inside")
        try:
            for _ in range(3):
                await asyncio.sleep(0)
                yield place.get()
        finally:
            await asyncio.sleep(0)
            seen.append(place.get())
            place.reset(token)

    place.set("outside")
    async with InOwnTask(items()) as own:
        async for item in own:
            assert item == "inside"
            assert place.get() == "outside"
            place.set("outside")
    with pytest.raises(ZeroDivisionError):
        async with InOwnTask(items()) as own:
            assert await anext(own) == "inside"
            raise ZeroDivisionError
    assert seen == ["inside"] * 2


@pytest.mark.quick
async def test_it_begins_with_what_is_set_outside_and_makes_nothing_before_it_is_asked() -> None:
    made = []

    async def items() -> AsyncGenerator[str, None]:
        for number in range(3):
            made.append(number)
            yield place.get()

    place.set("outside")
    async with InOwnTask(items()) as own:
        await some_turns()
        assert made == []
        assert await anext(own) == "outside"
        await some_turns()
        assert made == [0]
        assert [item async for item in own] == ["outside"] * 2
        with pytest.raises(StopAsyncIteration):
            await anext(own)


async def test_an_error_and_a_cancellation_go_both_ways() -> None:
    ended = []

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
            limit.reschedule(0)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            ended.append("closed")

    async def fails() -> AsyncGenerator[int, None]:
        yield 1
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        async with InOwnTask(fails()) as own:
            async for _ in own:
                pass
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, InOwnTask(items()) as own:
            async for _ in own:
                pass
    assert ended == ["cancelled", "closed"]


@pytest.mark.quick
async def test_from_the_second_item_on_one_is_made_ahead() -> None:
    made = []

    async def items() -> AsyncGenerator[int, None]:
        for number in range(5):
            await asyncio.sleep(0)
            made.append(number)
            yield number

    async with InOwnTask(items(), ahead=True) as own:
        await some_turns()
        assert made == []
        for number, so_far in enumerate(([0], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4])):
            assert await anext(own) == number
            await some_turns()
            assert made == so_far
        assert [item async for item in own] == [4]
        with pytest.raises(StopAsyncIteration):
            await anext(own)


async def test_an_error_of_an_item_made_ahead_comes_in_its_place_or_not_at_all() -> None:
    ended = []

    async def fails() -> AsyncGenerator[int, None]:
        try:
            yield 0
            yield 1
            raise KeyError("ahead")
        finally:
            ended.append("closed")

    async with InOwnTask(fails(), ahead=True) as own:
        assert [await anext(own), await anext(own)] == [0, 1]
        await some_turns()
        assert ended == ["closed"]
        for _ in range(2):
            with pytest.raises(KeyError, match="ahead"):
                await anext(own)
    reports: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    with pytest.raises(ZeroDivisionError):
        async with InOwnTask(fails(), ahead=True) as own:
            assert [await anext(own), await anext(own)] == [0, 1]
            await some_turns()
            raise ZeroDivisionError
    del own
    gc.collect()
    assert (ended, reports) == (["closed"] * 2, [])


async def test_an_item_that_is_being_made_ahead_is_ended() -> None:
    ended = []
    limit = None

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 0
            yield 1
            if limit is not None:
                limit.reschedule(0)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("closed")

    with pytest.raises(ZeroDivisionError):
        async with InOwnTask(items(), ahead=True) as own:
            assert [await anext(own), await anext(own)] == [0, 1]
            await some_turns()
            raise ZeroDivisionError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, InOwnTask(items(), ahead=True) as own:
            async for _ in own:
                pass
    assert ended == ["closed"] * 2


@pytest.mark.quick
async def test_one_that_is_left_without_an_error_is_ended() -> None:
    ended = []

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 0
            yield 1
        finally:
            await asyncio.sleep(0)
            ended.append("closed")

    async with InOwnTask(items()) as own:
        async for _ in own:
            break
    assert ended == ["closed"]


async def test_what_was_waited_for_in_vain_is_given_next() -> None:
    async def items() -> AsyncGenerator[int, None]:
        await asyncio.sleep(0.05)
        yield 0
        yield 1

    async with InOwnTask(items()) as own:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(own)
        assert [item async for item in own] == [0, 1]
