"""A limit on long calls in a pool: short ones find a connection however many long ones there are.

A pool serves calls in the order in which they come, so that as many long calls as it has
connections keep all others waiting. Here only some of its connections, the lanes, may be taken by
long calls at one time. A long call first waits for a lane and then, as every call, for a
connection; it never waits for a lane while it holds a connection, so lanes and connections cannot
wait for each other.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiidadb.connecting.pools.places import Places
from aiidadb.exceptions import ClosedError, PoolOptionsError, PoolTimeout
from aiidadb.messages import plural, quote

__all__ = ["MOST_STARTS", "Lanes", "number_of_lanes"]

MOST_STARTS: Final = 100
"""Nodes that a traversal may start from without being a long call, and bands of a listing."""

_SHARE: Final = 5
"""One in so many connections is a lane, if the caller does not say otherwise."""


def number_of_lanes(max_long: int | None, max_size: int) -> int:
    """How many long calls a pool serves at a time.

    Args:
        max_long: What the caller asks for; None: a fifth of the pool's connections, at least one.
        max_size: How many connections the pool has.

    Raises:
        PoolOptionsError: The pool has fewer connections.
    """
    if max_long is None:
        return max(1, max_size // _SHARE)
    if max_long > max_size:
        raise PoolOptionsError(
            f"max_long must be a whole number from 1 to max_size, which is {max_size:,}, not "
            f"{quote(max_long)}"
        )
    return max_long


class Lanes:
    """The lanes of one pool, for all backends that share it; served in the order of arrival.

    Args:
        number: How many there are.
        seconds: How long to wait for one, the pool's ``command_timeout``; None: without a bound.

    Attributes:
        seconds: That time.
    """

    def __init__(self, number: int, seconds: float | None) -> None:
        self._number = number
        self.seconds = seconds
        self._places = Places(number)
        self._holders: set[asyncio.Task[Any]] = set()
        self._closed = False

    def is_held_by(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task has a lane: calls inside a long call take no second one."""
        return task in self._holders

    async def take(self, task: asyncio.Task[Any], bounds: set[asyncio.Timeout]) -> None:
        """Wait for a lane.

        Args:
            task: The task that gets it, and gives it back.
            bounds: Holds the bound of this wait while it lasts, so that others can end it.

        Raises:
            TimeoutError: The bound is over: :meth:`timed_out` makes it an error for callers.
            ClosedError: The pool was reset.
        """
        if self._closed:
            raise _reset()
        if not self._places.enter():
            await self._wait(bounds)
        self._holders.add(task)

    def give_back(self, task: asyncio.Task[Any]) -> None:
        """Let the next long call begin.

        Args:
            task: Which had the lane.
        """
        self._holders.discard(task)
        self._places.leave()

    def close(self) -> None:
        """Refuse a lane to all calls that wait for one, and all that come."""
        self._closed = True
        self._places.end_waits()

    def timed_out(self) -> PoolTimeout:
        """The error for calls that waited for too long."""
        seconds = "" if self.seconds is None else f" of {plural(self.seconds, 'second')}"
        return PoolTimeout(
            f"no long call could begin within the command_timeout{seconds}: the pool's limit of "
            f"{self._number} at a time (max_long) was reached all the while",
            advice="try again later, or open the database with a larger max_long or "
            "command_timeout",
        )

    async def _wait(self, bounds: set[asyncio.Timeout]) -> None:
        turn = self._places.queue_up()
        try:
            async with asyncio.timeout(self.seconds) as bound:
                bounds.add(bound)
                try:
                    has_lane = await turn
                finally:
                    bounds.discard(bound)
        except BaseException:
            self._places.give_up(turn)
            raise
        if not has_lane:
            raise _reset()


def _reset() -> ClosedError:
    return ClosedError("the profile's pools were reset: open the backend again")
