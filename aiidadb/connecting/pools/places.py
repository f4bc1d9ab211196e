"""Waiting for a free place in a pool: in turn, for a bounded time, and for nothing else.

In asyncpg one call both waits for a place and, where the place has no connection, connects; its own
``timeout`` spans both, so behind a silent server the first to wait would use up the time of the
others. And waiting there costs as much as a small query does.

So waiting calls stand in a queue of ours, and as many go on to the pool as it has places. There
they may have to wait once more, behind callers that take connections of the pool directly. That is
distinguished from connecting by what runs in the waiting task: as soon as it connects, it has its
place, and the bound on waiting is lifted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncpg

__all__ = ["Places", "acquire", "place_found"]


class Places:
    """The places in a pool, for all backends on it, and the queue for them, in order of arrival.

    Args:
        number: How many there are.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._queue: deque[asyncio.Future[bool]] = deque()

    def enter(self) -> bool:
        """Take a place if one is free.

        Returns:
            Whether one was; then :meth:`leave` is to be called at the end.
        """
        if not self._free:
            return False
        self._free -= 1
        return True

    def queue_up(self) -> asyncio.Future[bool]:
        """Stand in the queue.

        Returns:
            What to wait for: whether a place was given, to be followed by :meth:`leave`.
        """
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        return turn

    def end_wait(self, turn: asyncio.Future[bool]) -> None:
        """End the wait of a task that has no place yet."""
        if not turn.done():
            self._queue.remove(turn)
            turn.set_result(False)

    def end_waits(self) -> None:
        """End all waits."""
        for turn in tuple(self._queue):
            self.end_wait(turn)

    def give_up(self, turn: asyncio.Future[bool]) -> None:
        """Leave the queue because of an error, also where a place was given meanwhile."""
        if turn.done() and not turn.cancelled() and turn.result():
            self.leave()
        else:
            with contextlib.suppress(ValueError):  # it was skipped already
                self._queue.remove(turn)

    def leave(self) -> None:
        """Give a place to the next call that waits for one."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1


# The bound on each task that waits in a pool. A task waits in one pool at a time.
_waiting: Final[dict[asyncio.Task[Any], asyncio.Timeout]] = {}


async def acquire(pool: asyncpg.Pool, limit: asyncio.Timeout) -> asyncpg.Connection:
    """Take a connection of a pool, with a bound on the wait for it but not on connecting.

    Args:
        pool: The pool, whose connecting begins with :func:`place_found`.
        limit: Until when to wait, not entered yet.

    Returns:
        The connection, which has to be given back with ``pool.release``.

    Raises:
        TimeoutError: No connection became free in time, if the limit has expired.
        Exception: What connecting raises.
    """
    task = asyncio.current_task()
    assert task is not None
    async with limit:
        _waiting[task] = limit
        try:
            return await pool.acquire()
        finally:
            _waiting.pop(task, None)


def place_found() -> None:
    """Lift the bound that the current task is under, if any: it has its place."""
    task = asyncio.current_task()
    limit = None if task is None else _waiting.pop(task, None)
    if limit is not None and not _is_over(limit):
        limit.reschedule(None)


def _is_over(limit: asyncio.Timeout) -> bool:
    """Whether the time is up, even where the task does not know yet."""
    end = limit.when()
    return end is not None and end <= asyncio.get_running_loop().time()
