"""Each way in which a call can be cancelled while it is under way."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import anyio

from tests.helpers.processes import LIMIT

if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any, Literal, TypeAlias

    How: TypeAlias = Literal["Task.cancel", "asyncio.timeout"]
    Way: TypeAlias = Callable[[Coroutine[Any, Any, None], float], Awaitable[None]]

__all__ = [
    "EACH_WAY",
    "by_cancel",
    "by_cancelling_again_and_again",
    "by_scope",
    "by_sibling",
    "by_timeout",
    "by_two_kinds",
    "by_wait_for",
    "cancel_when",
    "outcome_of",
]


async def by_timeout(call: Coroutine[Any, Any, None], after: float) -> None:
    async with asyncio.timeout(after):
        await call


async def by_wait_for(call: Coroutine[Any, Any, None], after: float) -> None:
    await asyncio.wait_for(call, after)


async def by_cancel(call: Coroutine[Any, Any, None], after: float) -> None:
    task = asyncio.create_task(call)
    await asyncio.sleep(after)
    task.cancel()
    await task


async def by_cancelling_again_and_again(call: Coroutine[Any, Any, None], after: float) -> None:
    task = asyncio.create_task(call)
    await asyncio.sleep(after)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0.01)
    await task


async def by_sibling(call: Coroutine[Any, Any, None], after: float) -> None:
    async def fail() -> None:
        await asyncio.sleep(after)
        raise KeyError("sibling")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call)
        tasks.create_task(fail())


async def by_scope(call: Coroutine[Any, Any, None], after: float) -> None:
    with anyio.fail_after(after):
        await call


async def by_two_kinds(call: Coroutine[Any, Any, None], after: float) -> None:
    async with asyncio.timeout(after + 0.02):
        with anyio.move_on_after(after):
            async with asyncio.timeout(after + 0.04):
                await call


EACH_WAY: Final = (
    by_timeout,
    by_wait_for,
    by_cancel,
    by_cancelling_again_and_again,
    by_sibling,
    by_scope,
    by_two_kinds,
)


async def cancel_when(begun: threading.Event, call: Coroutine[Any, Any, object], how: How) -> None:
    """Cancel a call once something has happened in it, and wait for its end.

    Args:
        begun: Set when that has happened, in whatever thread.
        call: The call; it must not end before.
        how: ``Task.cancel``, or ``asyncio.timeout``.
    """
    limits: list[asyncio.Timeout] = []

    async def limited() -> None:
        async with asyncio.timeout(LIMIT) as limit:
            limits.append(limit)
            await call

    running = asyncio.create_task(limited())
    assert await asyncio.to_thread(begun.wait, LIMIT)
    if how == "Task.cancel":
        running.cancel()
    else:
        limits[0].reschedule(asyncio.get_running_loop().time())
    done, _ = await asyncio.wait([running], timeout=LIMIT)
    assert done
    assert running.cancelled() == (how == "Task.cancel")
    assert running.cancelled() or isinstance(running.exception(), TimeoutError)


async def outcome_of(
    call: Coroutine[Any, Any, object], way: Way, *, after: float = 0.05
) -> BaseException | None:
    """Cancel a call, and return what it raised itself, whatever became of that further out.

    Args:
        call: The call.
        way: How to cancel it, one of :data:`EACH_WAY`.
        after: After how many seconds.
    """
    raised: list[BaseException] = []

    async def watched() -> None:
        try:
            await call
        except BaseException as error:
            raised.append(error)
            raise

    with contextlib.suppress(BaseException):
        await way(watched(), after)
    return raised[0] if raised else None
