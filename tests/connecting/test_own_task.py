"""Generators in a task of their own."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from aiidadb.connecting.own_task import InOwnTask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

place: ContextVar[str] = ContextVar("place", default="nowhere")


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
        await asyncio.sleep(0.01)
        assert made == []
        assert await anext(own) == "outside"
        await asyncio.sleep(0.01)
        assert made == [0]
        assert [item async for item in own] == ["outside"] * 2
        with pytest.raises(StopAsyncIteration):
            await anext(own)


async def test_an_error_and_a_cancellation_go_both_ways() -> None:
    ended = []

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
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
        async with asyncio.timeout(0.01), InOwnTask(items()) as own:
            async for _ in own:
                pass
    assert ended == ["cancelled", "closed"]
