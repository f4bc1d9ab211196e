"""Reports statements that take long, to the logger ``aiidadb.slow``.

A report names the query and gives seconds, and contains nothing of a statement: neither its
values, nor its text, which may have values in it where a caller has written them there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Final

from aiidadb.connecting.driver.asyncpg_internals import behind
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    import asyncpg

__all__ = ["SLOW_STATEMENT", "SlowStatements"]

SLOW_STATEMENT: Final = 1.0
"""Seconds from which on a statement is reported, if the caller does not say."""

CALLERS_SQL: Final = "caller's SQL"
"""What statements are called that the caller sends on a connection."""

_LOGGER: Final = logging.getLogger("aiidadb.slow")

_UNTIMED: Final = contextlib.nullcontext()

_OPEN_PLACE: Final = re.compile(r"/\\\*\\\{\w+\\\}\\\*/\\ \w+")


class SlowStatements:
    """Reports the slow statements of one pool.

    Args:
        seconds: From how many seconds on a statement is reported; None: none is.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        # Connections that callers have, and how many uses of ours are under way on each.
        self._ours: dict[asyncpg.Connection, int] = {}

    def timed(self, name: str = "", *, text: str = "") -> AbstractContextManager[object]:
        """Report what is done inside, if it takes long.

        Args:
            name: What to call it.
            text: A statement, to be called by the name of its file where no name is given. Without
                either, nothing is reported.
        """
        if self._seconds is None or not (name or text):
            return _UNTIMED
        return _Timed(self, name, text)

    def report(
        self, name: str, seconds: float, error: BaseException | None = None, *, text: str = ""
    ) -> None:
        """Report a statement, if it took long.

        Args:
            name: As for :meth:`timed`.
            seconds: How long it took.
            error: What ended it before its answer, if anything.
            text: As for :meth:`timed`.
        """
        if self._seconds is None or seconds < self._seconds:
            return
        if error is None:
            end = "took"
        elif isinstance(error, asyncio.CancelledError):
            end = "was cancelled after"
        else:
            end = "failed after"
        _LOGGER.warning("%s %s %.3f seconds", name or _name_of(text), end, seconds)

    @contextlib.contextmanager
    def of_caller(self, connection: asyncpg.Connection) -> Iterator[None]:
        """Report the slow statements that a caller sends on a connection of its own inside.

        Those of prepared statements and cursors are not among them: the driver does not log these.
        """
        held = behind(connection)
        if self._seconds is None or held is None:
            yield
            return

        def look(record: asyncpg.connection.LoggedQuery) -> None:
            if not self._ours.get(held):
                self.report(CALLERS_SQL, record.elapsed, record.exception)

        self._ours[held] = 0
        try:
            with held.query_logger(look):
                yield
        finally:
            # The driver calls its loggers in the next turn of the loop.
            asyncio.get_running_loop().call_soon(self._ours.pop, held, None)

    def ours_on(self, connection: asyncpg.Connection) -> AbstractContextManager[object]:
        """What is sent inside is not the caller's, where the connection is of :meth:`of_caller`."""
        if self._ours and (held := behind(connection)) in self._ours:
            return self._not_of_caller(held)
        return _UNTIMED

    @contextlib.contextmanager
    def _not_of_caller(self, held: asyncpg.Connection) -> Iterator[None]:
        self._ours[held] += 1
        try:
            yield
        finally:
            # As above: what was sent inside is examined before this.
            asyncio.get_running_loop().call_soon(self._end_of_ours, held)

    def _end_of_ours(self, held: asyncpg.Connection) -> None:
        if held in self._ours:
            self._ours[held] -= 1


class _Timed:
    """Times one statement.

    A class, because a generator in its place would noticeably slow down a small call.
    """

    __slots__ = ("_begin", "_name", "_slow", "_text")

    def __init__(self, slow: SlowStatements, name: str, text: str) -> None:
        self._slow = slow
        self._name = name
        self._text = text

    def __enter__(self) -> None:
        self._begin = monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = monotonic() - self._begin
        self._slow.report(self._name, seconds, error, text=self._text)


def _name_of(text: str) -> str:
    """The name of the file that a statement is from, also where its open places are filled."""
    for name, pattern in _patterns():
        if pattern.fullmatch(text):
            return name
    return "a statement"


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """What the statements of each file look like; made at the first report."""
    return [
        (query.name, re.compile(_OPEN_PLACE.sub("(?s:.+?)", re.escape(query.text))))
        for query in QUERIES.values()
    ]
