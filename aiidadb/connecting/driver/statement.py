"""Ending what a connection is doing: on the server, or together with the connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from aiidadb.connecting.driver.asyncpg_internals import (
    behind,
    command_timeout_of,
    request_cancellation,
    set_command_timeout,
)

if TYPE_CHECKING:
    from types import TracebackType

    import asyncpg

__all__ = ["RELEASE_TIMEOUT", "TimeLimit", "cancel_statement", "cut"]

_LOGGER: Final = logging.getLogger(__name__)

RELEASE_TIMEOUT: Final = 5.0
"""Seconds that a connection gets to be given back clean before it is cut."""

_TIMEOUT: Final = 3.0
"""Seconds for the request, which travels on a connection of its own and has no answer."""


async def cancel_statement(connection: asyncpg.Connection) -> None:
    """Ask the server to cancel what it is doing for a connection, if anything.

    The driver asks by itself where the task that waits for a statement is cancelled. This is for
    where another task asks for its end, and the waiting task needs the server's answer.

    Args:
        connection: Of a pool, or one that stands alone. It is cut where the server cannot be asked
            in time: a request that arrives late would cancel what the connection does next.
    """
    held = behind(connection)
    if held is None or held.is_closed():
        return
    limit = asyncio.timeout(_TIMEOUT)
    with contextlib.suppress(TimeoutError):
        async with limit:
            await request_cancellation(held)
    # The driver does not say that its request was cut short: it returns as it does otherwise.
    if limit.expired():
        cut(held)


def cut(connection: asyncpg.Connection) -> None:
    """Close a connection without a word to the server; nothing where it is closed already.

    Args:
        connection: As for :func:`cancel_statement`.
    """
    if (held := behind(connection)) is not None:
        if not held.is_closed():
            _LOGGER.warning("cut a connection whose use did not end in time")
        held.terminate()


class TimeLimit:
    """Keeps ``command_timeout`` in place of the driver, and waits for the server's answer.

    The driver raises as soon as the time is over, and does not report what the server answers when
    it asks for the end of the statement: that, or that the statement was done before.

    Use it as ``async with TimeLimit(connection)`` around one statement. Without an answer within
    :data:`RELEASE_TIMEOUT` the connection is cut.

    Args:
        connection: As for :func:`cancel_statement`.

    Attributes:
        seconds: The connection's ``command_timeout``; None: there is no limit.
        is_over: Whether the statement took longer, and its end was asked for.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._held = held = behind(connection)
        self.seconds = None if held is None else command_timeout_of(held)
        self.is_over = False
        self._timers: list[asyncio.TimerHandle] = []
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        if self._held is None or self.seconds is None:
            return
        set_command_timeout(self._held, None)
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(self.seconds, self._end))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._held is None or self.seconds is None:
            return
        set_command_timeout(self._held, self.seconds)
        for timer in self._timers:
            timer.cancel()
        if self._asking is not None:  # a request that arrives late would cancel what is done next
            await asyncio.wait((self._asking,))

    def _end(self) -> None:
        self.is_over = True
        self._asking = asyncio.ensure_future(cancel_statement(self._held))
        self._timers.append(asyncio.get_running_loop().call_later(RELEASE_TIMEOUT, cut, self._held))
