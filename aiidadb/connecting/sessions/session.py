"""What the managers share: connections, the open transaction, and the version found at opening."""

from __future__ import annotations

import asyncio
import contextlib
import os
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg

from aiidadb.connecting.driver.statement import cancel_statement
from aiidadb.connecting.opening.connection import require_asyncio
from aiidadb.connecting.opening.connector import keeps_settings
from aiidadb.connecting.pools.lanes import MOST_STARTS
from aiidadb.connecting.pools.pool import lanes_of, slow_of
from aiidadb.connecting.sessions.commit import COMMIT_TIMEOUT, committed
from aiidadb.connecting.sessions.migrated import (
    LOOK_TIMEOUT,
    is_sign_of_migration,
    migrated,
    read_version_apart,
)
from aiidadb.connecting.sessions.taken_connections import TakenConnections
from aiidadb.connecting.sessions.transaction import COMMITTED, OpenTransaction, transaction_over
from aiidadb.connecting.uninterrupted import Stop
from aiidadb.exceptions import (
    ClosedError,
    ConcurrencyError,
    DatabaseError,
    IncompatibleStorageSchema,
)
from aiidadb.version.database_version import read_bookkeeping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
    from contextlib import AbstractAsyncContextManager

    from aiidadb.connecting.pools.loan import Loan
    from aiidadb.connecting.profiles.profile import Profile
    from aiidadb.sql import Query
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["CLOSE_TIMEOUT", "NO_TIME_LIMIT", "Session"]

T = TypeVar("T")

NO_TIME_LIMIT: Final = 10.0 * 365 * 86400
"""Seconds; for statements without a limit.

(asyncpg takes a timeout of None for "as the pool's", which is not the same.)
"""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that calls under way get when a backend is closed, if not said otherwise."""

_NO_LANE: Final = contextlib.nullcontext()

_WRITTEN: Final = "the change was made all the same: it is in the database"

_UNDONE: Final = frozenset({"40001", "40P01"})
"""SQLSTATEs of a statement that may go through the next time: not serialisable, and deadlocks."""

_TRIES: Final = 5


class Session:
    """A profile opened in one event loop.

    Every statement of every manager goes through here. A call takes a connection of the pool for
    itself; inside :meth:`transaction` it takes the transaction's, one call at a time, also where
    tasks that were started inside make concurrent calls.

    Errors of the driver become ours where the driver is called, and nowhere else: what the
    caller's own code raises inside :meth:`transaction` is passed on as it is.

    Attributes:
        profile: The database.
        options: How the caller wanted connections to be made, beside what the profile says.
        commit_timeout: Seconds that a cancelled caller waits for the answer to COMMIT.
        version: The schema's version as found at opening, None where there is none.
        loan: The pool's, if it was borrowed: it stays open as long as this refers to it.
        slow: Reports slow statements, for all that use the pool.
    """

    def __init__(
        self,
        profile: Profile,
        pool: asyncpg.Pool,
        options: Mapping[str, Any] | None = None,
        *,
        acquire_timeout: float | None = None,
        commit_timeout: float | None = COMMIT_TIMEOUT,
    ) -> None:
        self.profile = profile
        self.options = dict(options or {})
        self.commit_timeout = commit_timeout
        self.version: SchemaVersion | None = None
        self.loan: Loan | None = None
        self.slow = slow_of(pool)
        self._lanes = lanes_of(pool)
        self._loop = require_asyncio()
        self._pid = os.getpid()
        self._taken = TakenConnections(pool, acquire_timeout, self._lanes.seconds)
        self._transaction: ContextVar[OpenTransaction | None] = ContextVar(
            "transaction", default=None
        )

    @property
    def pool(self) -> asyncpg.Pool:
        """Where the connections come from."""
        return self._taken.pool

    @property
    def is_inherited(self) -> bool:
        """Whether this is a process that was forked since: the connections are the parent's."""
        return os.getpid() != self._pid

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._taken.are_closed

    def refuse_if_closed(self) -> None:
        """Refuse to use a backend that was closed.

        Raises:
            ClosedError: It was.
        """
        if self.is_closed:
            raise ClosedError(
                "the backend was closed, by close() or at the end of its `async with` block",
                advice="open it again",
            )

    async def close(self, timeout: float | None = 0.0) -> None:  # noqa: ASYNC109
        """Refuse every further call, and make sure that none is under way.

        Calls that have no connection yet are refused as well.

        Args:
            timeout: Seconds that calls under way get; then their statements are cancelled on the
                server, and connections that are still not given back are cut. None: no bound.
        """
        own = self._transaction.get() if self.is_inside_open_transaction else None
        await self._taken.close(own, timeout)

    def require_version(self) -> SchemaVersion:
        """The version of the schema.

        Raises:
            IncompatibleStorageSchema: There was none when the backend was opened.
        """
        if self.version is None:
            raise IncompatibleStorageSchema(
                "the database had no AiiDA schema when this backend was opened: create one with "
                "backend.schema.initialise(), or open it again if that was done since"
            )
        return self.version

    async def refuse_if_migrated(self) -> None:
        """Check, where something is odd, whether the version is still the one found at opening.

        Raises:
            IncompatibleStorageSchema: It is another. (What cannot be found out is ignored.)
        """
        found = None
        if self.version is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LOOK_TIMEOUT):
                    if self.in_transaction:  # which may have failed, and its pool be used up
                        found = await read_version_apart(self.profile, self.options)
                    else:
                        async with self._taken.one() as connection:
                            found = (await read_bookkeeping(connection)).version()
        if found not in (None, self.version):
            raise migrated(found)

    async def doubt_empty_answer(self) -> None:
        """:meth:`refuse_if_migrated`, where that would explain why no node was found.

        On the way to AiiDA 2.x the types of nodes get another spelling: then those asked for are
        not found, without an error. For databases that have come so far this does nothing.

        Raises:
            IncompatibleStorageSchema: The version is another than the one found at opening.
        """
        if not self.require_version().has_core_prefix:
            await self.refuse_if_migrated()

    @property
    def in_transaction(self) -> bool:
        """Whether the current task is inside :meth:`transaction`."""
        return self._transaction.get() is not None

    @property
    def is_inside_open_transaction(self) -> bool:
        """Whether it is, and the transaction has not ended yet."""
        own = self._transaction.get()
        return own is not None and own.open

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for the caller: the open transaction's, or one of the pool.

        Raises:
            ClosedError: The backend was closed, or its transaction has ended.
            PoolTimeout: No place in the pool became free in time.
            DatabaseError: No connection could be made.
        """
        current = self._current()
        if current is not None:
            yield current.connection
            return
        async with self._taken.one(reset=True) as connection:
            with self.slow.of_caller(connection):
                yield connection

    @contextlib.asynccontextmanager
    async def transaction(self, *, by_caller: bool = False) -> AsyncIterator[asyncpg.Connection]:
        """All calls inside succeed or fail together; one inside another is a savepoint.

        Tasks started inside take part, one call at a time; one that still makes calls after the end
        gets a :class:`ClosedError`, not a transaction of its own.

        Args:
            by_caller: Whether it is the caller's own. What happens inside is not known then: the
                connection is reset after it, and others wait for a savepoint only for a moment.

        Yields:
            The connection.

        Raises:
            ClosedError: The backend was closed.
            ConcurrencyError: A savepoint is open, or a statement of the caller's own under way.
            UnknownOutcome: The connection was lost during the commit, or there was no answer.
            UnreachableStorage: The connection was lost before the commit; nothing was changed.
            DatabaseError: What the server reported, by SQLSTATE; also where the error of a
                statement was ignored inside, after which nothing can be committed, or where
                the caller's own SQL ended the transaction.
        """
        outer = self._current()
        if outer is None:
            async with (
                self._taken.one(reset=by_caller) as connection,
                self._level(connection, by_caller=by_caller),
            ):
                if by_caller:
                    with self.slow.of_caller(connection):
                        yield connection
                else:
                    yield connection
            return
        async with self._turn_of(outer):
            outer.savepoint_since = self._loop.time() if by_caller else None
            try:
                async with self._level(outer.connection, nested=True):
                    yield outer.connection
            finally:
                outer.savepoint_since = None

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """All queries inside see the database as it was at the first of them.

        They share a transaction that only reads. Inside :meth:`transaction` they are part of that,
        and see what it sees.

        Raises:
            ClosedError: The backend was closed.
            DatabaseError: What the server reported, by SQLSTATE.
        """
        if self._current() is not None:
            yield
            return
        async with self._taken.one() as connection, self._level(connection, snapshot=True):
            yield

    def lane(
        self, *, starts: int | None = None, holder: asyncio.Task[Any] | None = None
    ) -> AbstractAsyncContextManager[None]:
        """One of the pool's lanes for what is done inside, if that is a long call.

        Inside :meth:`transaction` or :meth:`snapshot` it is none: that has a connection already.

        Args:
            starts: From how many nodes a traversal starts; None: the call is long whatever it gets.
            holder: The task whose calls take no second lane meanwhile; None: the current one.

        Raises:
            ClosedError: The backend was closed, or its pool was reset.
            PoolTimeout: There was no lane within the pool's ``command_timeout``.
        """
        is_long = starts is None or starts > MOST_STARTS
        holder = holder or asyncio.current_task()
        assert holder is not None
        if not is_long or self._current() is not None or self._lanes.is_held_by(holder):
            return _NO_LANE
        return self._lane(holder)

    async def run(
        self,
        work: Callable[[asyncpg.Connection], Awaitable[T]],
        name: str = "",
        *,
        text: str = "",
        seconds: float | None = None,
    ) -> T:
        """Do something that may take several statements, on one connection.

        Args:
            work: Called with the connection. It calls nothing of the caller's.
            name: What to call it where it takes long.
            text: Its statement, to be called by the name of its file where no name is given.
                Without either, how long it takes is not reported here.
            seconds: The limit that ``work`` sets for each statement, which the error names where
                one takes longer; None: it sets none, and the pool's applies.

        Raises:
            ClosedError: The backend was closed.
            DatabaseError: What the server reported, by SQLSTATE.
        """
        current = self._current()
        translated = self._taken.translated.limited_to(seconds)
        try:
            if current is not None:
                async with self._turn_of(current):
                    with (
                        translated,
                        self.slow.ours_on(current.connection),
                        self.slow.timed(name, text=text),
                    ):
                        return await work(current.connection)
            async with self._taken.one() as connection:
                with translated, self.slow.timed(name, text=text):
                    return await work(connection)
        except DatabaseError as error:
            if is_sign_of_migration(error):
                await self.refuse_if_migrated()
            raise

    def fetch(
        self, text: str, /, *arguments: object, timeout: float | None = None, name: str = ""
    ) -> Coroutine[Any, Any, list[asyncpg.Record]]:
        """Run one query and return its rows; those of ``sql/`` run themselves on a session.

        Args:
            text: The statement, with ``$n`` for values.
            arguments: The values.
            timeout: Seconds; None: as the pool says.
            name: What to call it where it is slow; by default the name of its file.

        Raises:
            ClosedError: The backend was closed.
            ConcurrencyError: A statement of the caller's own is under way on the connection.
            DatabaseError: What the server reported, by SQLSTATE.
        """
        return self.run(
            lambda connection: connection.fetch(text, *arguments, timeout=timeout),
            name,
            text=text,
            seconds=timeout,
        )

    async def write(self, query: Query, *arguments: object) -> list[asyncpg.Record]:
        """Run one statement that changes rows.

        Outside of a transaction the end of it is a COMMIT. Cancelled, it is cancelled on the
        server, whose answer says whether that came in time. If a deadlock undoes it, or a
        conflict where the role's default isolation is a stricter one, it is sent again, a few times
        at most. (Locks in the order of pks do not prevent all deadlocks: the statement comes to a
        row by the version that it saw at first, and may find there someone waiting in line for the
        very lock that it has on the next version.)

        Args:
            query: One of :data:`aiidadb.sql.QUERIES`.
            arguments: The values.

        Raises:
            UnknownOutcome: The connection was lost before the answer, or there was none in time.
            QueryTimeout: It took too long, and the server cancelled it; nothing was changed.
            DatabaseError: As for :meth:`fetch`.
        """
        if self._current() is not None:
            return await query.fetch(self, *arguments)

        async def send(connection: asyncpg.Connection) -> list[asyncpg.Record]:
            rows = await committed(
                partial(query.fetch, connection, *arguments),
                connection,
                what="a statement that changes the database",
                consequence="whether it did is not known, check the database before trying again",
                note=_WRITTEN,
                within=self.commit_timeout,
                stop=Stop(partial(cancel_statement, connection), (asyncpg.QueryCanceledError,)),
            )
            self._taken.done[connection] = _WRITTEN
            return rows

        tries = 0
        while True:
            tries += 1
            try:
                return await self.run(send, query.name)
            except ConcurrencyError as error:
                if error.sqlstate not in _UNDONE or tries == _TRIES:
                    raise

    async def fetch_traversal(
        self, query: Query, *arguments: object, replan: bool = False
    ) -> list[asyncpg.Record]:
        """:meth:`fetch` for recursive queries, which JIT compilation would make slower.

        Connections are opened with JIT off, but behind PgBouncer that cannot be asked for, so
        there it is switched off for this statement's transaction.

        Args:
            query: One of :data:`aiidadb.sql.QUERIES`.
            arguments: The values.
            replan: Plan for these values. Where a statement is used again and again, the server
                soon plans it once and for all, as if every array were short.
        """

        async def ask(connection: asyncpg.Connection) -> list[asyncpg.Record] | None:
            if not keeps_settings(connection):
                return None
            if not replan:
                return await query.fetch(connection, *arguments)
            statement = await connection.prepare(query.text, name="")
            rows: list[asyncpg.Record] = await statement.fetch(*arguments)
            return rows

        rows = await self.run(ask, query.name)
        if rows is not None:
            return rows
        async with self.transaction():
            await self.execute("set local jit = off")
            return await query.fetch(self, *arguments)

    def execute(
        self, text: str, /, *arguments: object, timeout: float | None = None
    ) -> Coroutine[Any, Any, str]:
        """Run one statement, or without arguments a script of several.

        Takes and raises what :meth:`fetch` does.

        Returns:
            The server's status, such as ``DELETE 3``.
        """
        return self.run(
            lambda connection: connection.execute(text, *arguments, timeout=timeout),
            text=text,
            seconds=timeout,
        )

    @contextlib.asynccontextmanager
    async def _lane(self, holder: asyncio.Task[Any]) -> AsyncIterator[None]:
        try:
            await self._lanes.take(holder, self._taken.limits)
        except TimeoutError as error:
            self._taken.refuse_if_closed_meanwhile(error)
            raise self._lanes.timed_out() from error
        finally:
            self._taken.tell_of_end()
        try:
            yield
        finally:
            self._lanes.give_back(holder)

    def _current(self) -> OpenTransaction | None:
        self.refuse_if_closed()
        if self.is_inherited:
            raise ClosedError("the backend was opened before a fork: open one in this process")
        if require_asyncio() is not self._loop:
            raise ClosedError("the backend belongs to another event loop: open one in this loop")
        current = self._transaction.get()
        if current is not None and not current.open:
            raise transaction_over()
        return current

    @contextlib.asynccontextmanager
    async def _turn_of(self, transaction: OpenTransaction) -> AsyncIterator[None]:
        try:
            async with transaction.turn():
                self._taken.refuse_if_closed_meanwhile()
                yield
        finally:
            self._taken.tell_of_end()

    @contextlib.asynccontextmanager
    async def _level(
        self,
        connection: asyncpg.Connection,
        *,
        snapshot: bool = False,
        nested: bool = False,
        by_caller: bool = False,
    ) -> AsyncIterator[None]:
        level = OpenTransaction(
            connection,
            self._taken.translated,
            commit_timeout=self.commit_timeout,
            snapshot=snapshot,
            nested=nested,
            by_caller=by_caller,
        )
        await level.begin()
        token = self._transaction.set(level)
        try:
            yield
            if not snapshot:
                with self.slow.timed("commit"):
                    await level.commit()
                if not nested:
                    self._taken.done[connection] = COMMITTED
        except BaseException as error:
            await level.undo_after(error)
            raise
        else:
            if snapshot:  # which has nothing to commit, so no outcome that could be unknown
                await level.undo()
        finally:
            # A generator that is closed from another context cannot reset it, and need not.
            with contextlib.suppress(ValueError):
                self._transaction.reset(token)
