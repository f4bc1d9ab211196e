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

from aiidadb.connecting.uninterrupted import clean_up_after, uninterrupted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType
    from typing import Self

__all__ = ["InOwnTask"]

T = TypeVar("T")

# The event loop itself holds its tasks only weakly, and one that is thrown away is not closed.
_tasks: Final[set[asyncio.Task[None]]] = set()


class _End:
    """What stands behind the last item."""


class InOwnTask(Generic[T]):
    """What a generator gives, with the generator in a task of its own.

    It is entered to be iterated over, by one task at a time, and ends the generator where it is
    left.

    Args:
        items: The generator; nothing else iterates over it.
        ahead: Whether, from the second item on, the next one is made while its user works on the
            one before. Whoever takes the first alone causes no work in vain. Otherwise each item
            is made when it is asked for, not before.
    """

    def __init__(self, items: AsyncGenerator[T, None], *, ahead: bool = False) -> None:
        self._items = items
        self._ahead = ahead
        self._number = 0  # of items that were asked for

    async def __aenter__(self) -> Self:
        self._asked = asyncio.Semaphore(0)
        self._made: asyncio.Queue[T | _End] = asyncio.Queue()
        self._task = asyncio.create_task(_make(self._items, self._asked, self._made))
        _tasks.add(self._task)
        self._task.add_done_callback(_tasks.discard)
        self._task.add_done_callback(lambda _: self._made.put_nowait(_End()))
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        self._number += 1
        self._asked.release()
        if self._ahead and self._number == 2:
            self._asked.release()
        item = await self._made.get()
        if not isinstance(item, _End):
            return item
        self._made.put_nowait(item)
        self._task.result()  # its error, if it has one
        raise StopAsyncIteration

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Also where it is done: what failed ahead is of no use to those who do not come to it.
        self._task.cancel()
        if error is None:
            await uninterrupted(_ended(self._task), within=None)
        else:
            await clean_up_after(error, _ended(self._task), within=None)


async def _make(
    items: AsyncGenerator[T, None], asked: asyncio.Semaphore, made: asyncio.Queue[T | _End]
) -> None:
    async with contextlib.aclosing(items):
        while True:
            await asked.acquire()
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            made.put_nowait(item)


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of a task; what it raises then is of no use to those who left it."""
    await asyncio.gather(task, return_exceptions=True)
