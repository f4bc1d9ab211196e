"""What the managers share: connections, the open transaction, and the version found at opening."""

from __future__ import annotations

import contextlib
import os
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio
import asyncpg

from aiidadb.connecting.connection import require_asyncio
from aiidadb.connecting.connector import keeps_settings
from aiidadb.connecting.places import take_place
from aiidadb.connecting.pool import mark_clean
from aiidadb.exceptions import (
    ClosedError,
    IncompatibleStorageSchema,
    UnknownOutcome,
    translate,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from aiidadb.connecting.profile import Profile
    from aiidadb.sql import Query
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["NO_TIME_LIMIT", "Session"]

RELEASE_TIMEOUT: Final = 5.0
"""Seconds that a connection gets to be given back clean before it is cut."""

NO_TIME_LIMIT: Final = 10.0 * 365 * 86400
"""Seconds; for statements that may take as long as they take.

(asyncpg takes a timeout of None for "as the pool's", which is not the same.)
"""


@dataclass(eq=False)
class _Transaction:
    """One level of an open transaction, and whose turn it is on its connection."""

    connection: asyncpg.Connection
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    open: bool = True


class Session:
    """One profile opened in one event loop.

    Every statement of every manager goes through here. A call takes a connection of the pool for
    itself; inside :meth:`transaction` it takes the transaction's, one call at a time, also where
    tasks that were started inside call at once.

    Attributes:
        profile: The database.
        options: How the caller wanted connections to be made, beside what the profile says.
        version: The schema's version as found at opening, None where there is none.
    """

    def __init__(
        self,
        profile: Profile,
        pool: asyncpg.Pool,
        options: Mapping[str, Any] | None = None,
        *,
        acquire_timeout: float | None = None,
    ) -> None:
        self.profile = profile
        self.options = dict(options or {})
        self.version: SchemaVersion | None = None
        self.pool = pool
        self._acquire_timeout = acquire_timeout
        self._loop = require_asyncio()
        self._pid = os.getpid()
        self._closed = False
        self._transaction: ContextVar[_Transaction | None] = ContextVar("transaction", default=None)

    def close(self) -> None:
        """Refuse every further call."""
        self._closed = True

    def require_version(self) -> SchemaVersion:
        """The version of the schema.

        Raises:
            IncompatibleStorageSchema: There was none when the backend was opened.
        """
        if self.version is None:
            raise IncompatibleStorageSchema(
                "the database has no AiiDA schema: make one with backend.schema.initialise()"
            )
        return self.version

    @property
    def in_transaction(self) -> bool:
        """Whether the current task is inside :meth:`transaction`."""
        return self._transaction.get() is not None

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for this call: the open transaction's, or one of the pool.

        Raises:
            ClosedError: The backend was closed, or its transaction has ended.
            PoolTimeout: No place in the pool became free in time.
            DatabaseError: What the server reported, by SQLSTATE.
        """
        current = self._current()
        if current is None:
            async with self._from_pool() as connection:
                yield connection
            return
        async with current.turn:
            if not current.open:
                raise _transaction_over()
            with _translated():
                yield current.connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All calls inside succeed or fail together; one inside another is a savepoint.

        Tasks started inside take part, one call at a time; one that goes on calling after the end
        gets a :class:`ClosedError`, not a transaction of its own.

        Raises:
            ClosedError: The backend was closed.
            UnknownOutcome: The connection was lost during the commit.
            DatabaseError: What the server reported, by SQLSTATE.
        """
        outer = self._current()
        if outer is None:
            async with self._from_pool() as connection, self._level(connection):
                yield
            return
        async with outer.turn:
            if not outer.open:
                raise _transaction_over()
            with _translated():
                async with self._level(outer.connection):
                    yield

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """All questions inside see the database as it was at the first of them.

        They share a transaction that only reads. Inside :meth:`transaction` they are part of that,
        and see what it sees.

        Raises:
            ClosedError: The backend was closed.
            DatabaseError: What the server reported, by SQLSTATE.
        """
        if self._current() is not None:
            yield
            return
        async with self._from_pool() as connection, self._level(connection, snapshot=True):
            yield

    async def fetch(
        self,
        text: str,
        /,
        *arguments: object,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[asyncpg.Record]:
        """Run one question and give its rows; those of ``sql/`` run themselves on a session.

        Args:
            text: The statement, with ``$n`` for values.
            arguments: The values.
            timeout: Seconds; None: as the pool says.

        Raises:
            ClosedError: The backend was closed.
            DatabaseError: What the server reported, by SQLSTATE.
        """
        async with self.acquire() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(text, *arguments, timeout=timeout)
            return rows

    async def fetch_traversal(
        self, query: Query, *arguments: object, replan: bool = False
    ) -> list[asyncpg.Record]:
        """:meth:`fetch` for recursive questions, which JIT compilation would make slower.

        Connections are opened with JIT off, but behind PgBouncer that cannot be asked for, so
        there it is switched off for this statement's transaction.

        Args:
            query: One of :data:`aiidadb.sql.QUERIES`.
            arguments: The values.
            replan: Plan for these values. Where a statement is used again and again, the server
                soon plans it once and for all, as if every array were short.
        """
        async with self.acquire() as connection:
            if keeps_settings(connection):
                if not replan:
                    return await query.fetch(connection, *arguments)
                statement = await connection.prepare(query.text, name="")
                rows: list[asyncpg.Record] = await statement.fetch(*arguments)
                return rows
        async with self.transaction():
            await self.execute("set local jit = off")
            return await query.fetch(self, *arguments)

    async def execute(
        self,
        text: str,
        /,
        *arguments: object,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> str:
        """Run one statement, or without arguments a script of several.

        Takes and raises what :meth:`fetch` does.

        Returns:
            The server's status, such as ``DELETE 3``.
        """
        async with self.acquire() as connection:
            status: str = await connection.execute(text, *arguments, timeout=timeout)
            return status

    def _current(self) -> _Transaction | None:
        if self._closed:
            raise ClosedError("the backend was closed: open it again")
        if os.getpid() != self._pid:
            raise ClosedError("the backend was opened before a fork: open one in this process")
        if require_asyncio() is not self._loop:
            raise ClosedError("the backend belongs to another event loop: open one in this loop")
        current = self._transaction.get()
        if current is not None and not current.open:
            raise _transaction_over()
        return current

    @contextlib.asynccontextmanager
    async def _from_pool(self) -> AsyncIterator[asyncpg.Connection]:
        with _translated():
            connection = await take_place(self.pool, self._acquire_timeout)
            try:
                yield connection
            except asyncpg.ReadOnlySQLTransactionError:
                # Which server takes writes is looked at on connecting only, and may have changed:
                # the next calls connect anew.
                await self.pool.expire_connections()
                raise
            finally:
                # Whoever cancels waits for this: the statement is cancelled on the server and the
                # connection goes back clean.
                with anyio.CancelScope(shield=True):
                    mark_clean(connection)
                    await self._release(connection)

    async def _release(self, connection: asyncpg.Connection) -> None:
        try:
            await self.pool.release(connection, timeout=RELEASE_TIMEOUT)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            # It was broken, and asyncpg has cut it; what broke it is on its way to the caller.
            return

    @contextlib.asynccontextmanager
    async def _level(
        self, connection: asyncpg.Connection, *, snapshot: bool = False
    ) -> AsyncIterator[None]:
        isolation = "repeatable_read" if snapshot else None
        block = connection.transaction(isolation=isolation, readonly=snapshot)
        await block.start()
        level = _Transaction(connection)
        token = self._transaction.set(level)
        try:
            yield
        except BaseException:
            await self._end(level, block)
            raise
        else:
            # A snapshot has nothing to commit, so no outcome that could be unknown.
            await (self._end if snapshot else self._commit)(level, block)
        finally:
            level.open = False
            # A generator that is closed from another context cannot reset it, and need not.
            with contextlib.suppress(ValueError):
                self._transaction.reset(token)

    async def _end(self, level: _Transaction, block: Any) -> None:
        """Roll a level back once the call that is under way, if any, is through."""
        with anyio.CancelScope(shield=True):
            async with level.turn:
                level.open = False
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await block.rollback()

    async def _commit(self, level: _Transaction, block: Any) -> None:
        async with level.turn:
            level.open = False
            try:
                # Cut short, a COMMIT has an unknown outcome: it is waited for even when cancelled.
                with anyio.CancelScope(shield=True):
                    await block.commit()
            except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError) as error:
                raise UnknownOutcome(
                    "the connection was lost during COMMIT: whether the changes are in the "
                    "database is not known, look before trying again"
                ) from error


def _transaction_over() -> ClosedError:
    return ClosedError(
        "this task was started inside a transaction that has ended: wait for such tasks inside it"
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raise our error in the place of the driver's, with the original as its cause."""
    try:
        yield
    except Exception as error:
        if isinstance(error, asyncpg.InterfaceError) and "pool is clos" in str(error):
            raise ClosedError("the profile's pools were reset: open the backend again") from error
        if (ours := translate(error)) is not None:
            raise ours from error
        raise
