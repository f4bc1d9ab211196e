"""A bound on the wait for a free place in a pool, and on that alone.

In asyncpg one call both waits for a place and, where the place has no connection, connects; its own
``timeout`` spans both, so behind a silent server the first to wait would use up the time of the
others. The two are told apart here by what runs in the waiting task: as soon as it connects, it has
its place, and the bound on waiting is lifted. The queue stays asyncpg's own, so whoever takes
connections of the pool directly stands in the same one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiidadb.exceptions import PoolTimeout

if TYPE_CHECKING:
    import asyncpg

__all__ = ["place_found", "take_place"]

# The bound that each waiting task is under. A task waits in one pool at a time.
_waiting: Final[dict[asyncio.Task[Any], asyncio.Timeout]] = {}


async def take_place(pool: asyncpg.Pool, seconds: float | None) -> asyncpg.Connection:
    """Take a connection of a pool.

    Args:
        pool: The pool, whose connecting begins with :func:`place_found`.
        seconds: How long to wait for a free place; None: without a bound.

    Returns:
        The connection, to be given back with ``pool.release``.

    Raises:
        PoolTimeout: No place became free in time.
        Exception: What connecting raises.
    """
    if seconds is None:
        return await pool.acquire()
    task = asyncio.current_task()
    assert task is not None
    try:
        async with asyncio.timeout(seconds) as limit:
            _waiting[task] = limit
            try:
                return await pool.acquire()
            finally:
                _waiting.pop(task, None)
    except TimeoutError as error:
        if not limit.expired():  # connecting took too long, which is something else
            raise
        raise PoolTimeout(
            f"none of the pool's {pool.get_max_size()} connections became free within "
            f"{seconds:g} seconds",
            advice="try again later, or open the database with a larger max_size or "
            "acquire_timeout",
        ) from error


def place_found() -> None:
    """Lift the bound that the current task is under, if any: it has its place."""
    task = asyncio.current_task()
    limit = None if task is None else _waiting.pop(task, None)
    if limit is not None:
        limit.reschedule(None)
