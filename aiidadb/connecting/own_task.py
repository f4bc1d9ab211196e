"""Generators that hold something between two items, each in a task of its own.

An asynchronous generator runs in the context of its caller, so that what it sets, and takes back
only at its end, holds for the caller's own code between two items as well. And where an event loop
ends, all generators that are still open are closed at one time, the inner ones along with those
that wait for them. A task has a context of its own, and is cancelled before that.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from aiidadb.connecting.uninterrupted import clean_up_after

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType
    from typing import Self

__all__ = ["InOwnTask"]

T = TypeVar("T")

# The event loop itself holds its tasks only weakly, and one that is thrown away is not closed.
_tasks: Final[set[asyncio.Task[None]]] = set()


class InOwnTask(Generic[T]):
    """What a generator gives, with the generator in a task of its own.

    It is entered to be iterated over, and ends the generator where it is left. Each item is made
    when it is asked for, not before.

    Args:
        items: The generator; nothing else iterates over it.
    """

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items

    async def __aenter__(self) -> Self:
        self._asked: asyncio.Queue[asyncio.Future[T]] = asyncio.Queue()
        self._task = asyncio.create_task(_give(self._items, self._asked))
        _tasks.add(self._task)
        self._task.add_done_callback(_tasks.discard)
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait(answer)
        await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        self._task.result()  # its error, if it has one
        raise StopAsyncIteration

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or self._task.done():
            return
        self._task.cancel()
        await clean_up_after(error, _ended(self._task), within=None)


async def _give(items: AsyncGenerator[T, None], asked: asyncio.Queue[asyncio.Future[T]]) -> None:
    async with contextlib.aclosing(items):
        while True:
            answer = await asked.get()
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            answer.set_result(item)


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of a task; what it raises then is of no use to those who left it."""
    await asyncio.gather(task, return_exceptions=True)
