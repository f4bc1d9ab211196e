"""Generators in a context of their own."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from aiidadb.own_context import in_own_context

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
            place.reset(token)  # in the same context, though another task may be closing

    place.set("outside")
    async for item in in_own_context(items()):
        assert item == "inside"
        assert place.get() == "outside"
        place.set("outside")
    assert [item async for item in in_own_context(items())] == ["inside"] * 3
    left_early = in_own_context(items())
    assert await anext(left_early) == "inside"
    await asyncio.create_task(left_early.aclose())
    assert seen == ["inside"] * 3


@pytest.mark.quick
async def test_it_begins_with_what_is_set_outside_and_in_the_same_task() -> None:
    async def items() -> AsyncGenerator[tuple[str, object], None]:
        yield place.get(), asyncio.current_task()

    place.set("outside")
    async for item in in_own_context(items()):
        assert item == ("outside", asyncio.current_task())


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
        async for _ in in_own_context(fails()):
            pass
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            async for _ in in_own_context(items()):
                pass
    assert ended == ["cancelled", "closed"]
