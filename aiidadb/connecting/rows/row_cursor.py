"""Rows of a query, some at a time, from a cursor on the server."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Self

from aiidadb.connecting.driver.asyncpg_internals import close_cursor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import asyncpg

    from aiidadb.connecting.sessions.session import Session

__all__ = ["RowCursor"]


class RowCursor:
    """The rows of a query, some at a time; used inside one transaction or snapshot.

    Left without an error, it is closed; otherwise the end of the transaction does that. The
    question itself leaves out what Python cannot hold.

    Args:
        session: Where to ask.
        text: The statement, with ``$n`` for values, each of which is cast.
        values: The values.
        timeout: Seconds for each time that rows are fetched; None: as the pool says.
        name: What to call the question where the fetches of its rows, taken together, are slow.
    """

    def __init__(
        self,
        session: Session,
        text: str,
        values: Sequence[object],
        *,
        timeout: float | None = None,
        name: str = "",
    ) -> None:
        self._session = session
        self._text = text
        self._values = values
        self._timeout = timeout
        self._name = name
        self._seconds = 0.0  # in which the server was waited for
        self._cursor: asyncpg.cursor.Cursor | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.slow.report(self._name, self._seconds, error, text=self._text)
        cursor = self._cursor
        if kind is None and cursor is not None:
            await self._session.run(lambda _: close_cursor(cursor))

    async def fetch(self, number: int) -> list[asyncpg.Record]:
        """The next rows; fewer than that where there are no more.

        Args:
            number: How many, at least one.

        Raises:
            DatabaseError: What the server reported.
        """
        is_first = self._cursor is None
        rows = await self._session.run(
            lambda connection: self._timed(connection, number), seconds=self._timeout
        )
        if is_first and not rows:
            await self._session.doubt_empty_answer()
        return rows

    async def _timed(self, connection: asyncpg.Connection, number: int) -> list[asyncpg.Record]:
        begin = monotonic()
        try:
            return await self._ask(connection, number)
        finally:
            self._seconds += monotonic() - begin

    async def _ask(self, connection: asyncpg.Connection, number: int) -> list[asyncpg.Record]:
        if self._cursor is None:
            # Without a name, which a pooler between here and the server might not know.
            statement = await connection.prepare(self._text, name="", timeout=self._timeout)
            self._cursor = await statement.cursor(*self._values, timeout=self._timeout)
        rows: list[asyncpg.Record] = await self._cursor.fetch(number, timeout=self._timeout)
        return rows
