"""Runs compiled statements on a session: as a whole, or streamed from a cursor on the server."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiidadb.callers_own import is_callers_own
from aiidadb.connecting.opening.connection import leaving_out_unreadable_json
from aiidadb.connecting.own_task import InOwnTask
from aiidadb.connecting.rows.row_cursor import RowCursor
from aiidadb.connecting.sessions.served import WITH_JSON_COLUMNS, served
from aiidadb.exceptions import CorruptStorage, ResourceError
from aiidadb.messages import plural

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    import asyncpg

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.querybuilder.compiling.compiled import Compiled, Field

__all__ = ["fetch", "stream", "too_many"]

T = TypeVar("T")

_NAME: Final = "query builder"
"""What its statements are called in reports of slow ones."""

_IN_ONE_TURN: Final = 100
"""Rows that a caller gets before others on the event loop have their turn."""

_MOST_TOGETHER: Final = 400
"""Rows that are fetched together, at most, if the caller does not ask for more."""

_QUICK: Final = 0.0005
_SLOW: Final = 0.004
"""Seconds: rows that came within the first are fetched more at a time, beyond the second fewer.

A fetch costs about 0.2 ms beside its rows, as much as a hundred small ones. But many records
together would be many objects for Python to look through again and again.
"""


async def fetch(
    session: Session, compiled: Compiled, values: Sequence[object], *, seconds: float | None
) -> list[asyncpg.Record]:
    """All rows of a statement.

    Args:
        session: Where to run it.
        compiled: The statement.
        values: Those of the query.
        seconds: How long the statement may take; None: as the pool says.

    Raises:
        InvalidInputError: A value cannot be what it is compared with.
        DatabaseError: What the server reported.
    """
    arguments = compiled.arguments(values)
    text = compiled.text

    async def ask(connection: asyncpg.Connection) -> list[asyncpg.Record]:
        if compiled.is_for_values:
            # Without a name, so that it is planned for these values: the server would soon plan a
            # named one once and for all.
            statement = await connection.prepare(text, name="", timeout=seconds)
            planned: list[asyncpg.Record] = await statement.fetch(*arguments, timeout=seconds)
            return planned
        rows: list[asyncpg.Record] = await connection.fetch(text, *arguments, timeout=seconds)
        return rows

    async def ask_again(connection: asyncpg.Connection) -> list[asyncpg.Record]:
        with leaving_out_unreadable_json(connection):
            return await ask(connection)

    with served(session, since=WITH_JSON_COLUMNS):
        try:
            rows = await session.run(ask, _NAME, seconds=seconds)
        except (CorruptStorage, RecursionError) as error:
            if is_callers_own(error):
                raise
            rows = await session.run(ask_again, _NAME, seconds=seconds)
        if not rows:
            await session.doubt_empty_answer()
    return rows


async def stream(
    session: Session,
    compiled: Compiled,
    values: Sequence[object],
    make: Callable[[Sequence[asyncpg.Record], Sequence[Field]], list[T]],
    *,
    batch_size: int,
    most: int | None,
    seconds: float | None,
) -> AsyncGenerator[T, None]:
    """The rows of a statement, some at a time.

    The cursor is closed, and the connection given back, where the iteration ends: at its end, by a
    break, an error or a cancellation.

    Args:
        session: Where to run it.
        compiled: The statement.
        values: Those of the query.
        make: Makes what callers get of some rows.
        batch_size: How many rows are fetched at a time, at least.
        most: How many rows there may be; None: any number.
        seconds: How long each time may take; None: as the pool says.

    Raises:
        ResourceError: There are more rows.
        DatabaseError: What the server reported.
    """
    arguments = compiled.arguments(values)
    # In the caller's own task, what the caller asks between two rows would be part of the snapshot.
    batches = _batches(
        session, compiled.text, arguments, batch_size, asyncio.current_task(), seconds
    )
    left = most
    # In an open transaction the connection is the caller's between two rows.
    async with InOwnTask(batches, ahead=not session.in_transaction) as rows:
        async for batch in rows:
            if left is not None:
                if len(batch) > left:
                    assert most is not None
                    raise too_many(most)
                left -= len(batch)
            for at in range(0, len(batch), _IN_ONE_TURN):
                if at:
                    await asyncio.sleep(0)
                for row in make(batch[at : at + _IN_ONE_TURN], compiled.fields):
                    yield row


def too_many(most: int) -> ResourceError:
    """The error for a query that has more rows than its caller takes."""
    return ResourceError(
        f"the query has more than {plural(most, 'row')}, which is the limit max_rows: ask for "
        "less, read it in pages, or give a larger max_rows"
    )


async def _batches(
    session: Session,
    text: str,
    arguments: Sequence[object],
    least: int,
    holder: asyncio.Task[Any] | None,
    seconds: float | None,
) -> AsyncGenerator[list[asyncpg.Record], None]:
    number = least
    with served(session, since=WITH_JSON_COLUMNS):
        async with (
            session.lane(holder=holder),
            session.snapshot(),
            _HeldCursor(session, text, arguments, timeout=seconds, name=_NAME) as cursor,
        ):
            begin = monotonic()
            while rows := await cursor.fetch(number):
                taken = monotonic() - begin
                yield rows
                if len(rows) < number:
                    return
                if taken < _QUICK:
                    number = max(number, min(2 * number, _MOST_TOGETHER))
                elif taken > _SLOW:
                    number = max(least, number // 2)
                begin = monotonic()


class _HeldCursor(RowCursor):
    """A cursor whose rows have None in place of JSON that Python cannot hold."""

    async def _ask(self, connection: asyncpg.Connection, number: int) -> list[asyncpg.Record]:
        with leaving_out_unreadable_json(connection):
            return await super()._ask(connection, number)
