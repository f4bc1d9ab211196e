"""Each way in which a call can be cancelled while it is under way."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import anyio

from tests.helpers.processes import LIMIT

if TYPE_CHECKING:
    import threading
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from typing import Any, Literal, TypeAlias

    How: TypeAlias = Literal["Task.cancel", "asyncio.timeout"]
    Way: TypeAlias = Callable[[Coroutine[Any, Any, None], asyncio.Event], Awaitable[None]]

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


async def by_timeout(call: Coroutine[Any, Any, None], now: asyncio.Event) -> None:
    async with asyncio.timeout(None) as limit, _at(now, lambda: limit.reschedule(_time())):
        await call


async def by_wait_for(call: Coroutine[Any, Any, None], now: asyncio.Event) -> None:
    task = asyncio.create_task(call)
    await now.wait()
    await asyncio.wait_for(task, 0.001)


async def by_cancel(call: Coroutine[Any, Any, None], now: asyncio.Event) -> None:
    task = asyncio.create_task(call)
    await now.wait()
    task.cancel()
    await task


async def by_cancelling_again_and_again(
    call: Coroutine[Any, Any, None], now: asyncio.Event
) -> None:
    task = asyncio.create_task(call)
    await now.wait()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0.01)
    await task


async def by_sibling(call: Coroutine[Any, Any, None], now: asyncio.Event) -> None:
    async def fail() -> None:
        await now.wait()
        raise KeyError("sibling")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call)
        tasks.create_task(fail())


async def by_scope(call: Coroutine[Any, Any, None], now: asyncio.Event) -> None:
    with anyio.fail_after(None) as scope:
        async with _at(now, lambda: setattr(scope, "deadline", _time())):
            await call


async def by_two_kinds(call: Coroutine[Any, Any, None], now: asyncio.Event) -> None:
    def expire() -> None:
        time = _time()
        scope.deadline = time
        outer.reschedule(time + 0.02)
        inner.reschedule(time + 0.04)

    async with asyncio.timeout(None) as outer:
        with anyio.CancelScope() as scope:
            async with asyncio.timeout(None) as inner, _at(now, expire):
                await call


def _time() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def _at(now: asyncio.Event, do: Callable[[], None]) -> AsyncIterator[None]:
    """Do something once an event is set, if that comes before the end of what is inside."""

    async def wait() -> None:
        await now.wait()
        do()

    waiting = asyncio.create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()


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
    call: Coroutine[Any, Any, object],
    way: Way,
    *,
    after: float = 0.05,
    when: Callable[[], Awaitable[object]] | None = None,
    then: Callable[[], Awaitable[object]] | None = None,
) -> BaseException | None:
    """Cancel a call, and return what it raised itself, whatever became of that further out.

    Args:
        call: The call.
        way: How to cancel it, one of :data:`EACH_WAY`.
        after: After how many seconds, where that makes no difference.
        when: Waits for what the call must have come to first, in place of that. It has a limit.
        then: Lets the call end, once it was cancelled.
    """
    raised: list[BaseException] = []
    running: list[asyncio.Task[object]] = []
    now = asyncio.Event()

    async def watched() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append(task)
        try:
            await call
        except BaseException as error:
            raised.append(error)
            raise
        finally:
            running.clear()

    async def tell() -> None:
        try:
            await (asyncio.sleep(after) if when is None else when())
        finally:
            now.set()
        if then is not None:
            while running and not running[0].cancelling():
                await asyncio.sleep(0.001)
            await then()

    telling = asyncio.create_task(tell())
    with contextlib.suppress(BaseException):
        await way(watched(), now)
    if not now.is_set():  # the call ended before
        telling.cancel()
    await asyncio.wait((telling,))
    if not telling.cancelled():
        telling.result()
    return raised[0] if raised else None
