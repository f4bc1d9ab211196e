"""The connections that an opened backend has taken out of its pool, and how their use ends."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.callers_own import is_callers_own
from aiidadb.connecting.driver.asyncpg_internals import has_one_at_hand
from aiidadb.connecting.driver.statement import RELEASE_TIMEOUT, cancel_statement, cut
from aiidadb.connecting.pools.places import acquire
from aiidadb.connecting.pools.pool import (
    expire_connections_of,
    give_back_clean,
    mark_clean,
    places_of,
)
from aiidadb.connecting.uninterrupted import clean_up_after, uninterrupted
from aiidadb.exceptions import ClosedError, PoolTimeout, ReadOnlyDatabase, translate
from aiidadb.messages import plural, quote

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType

    from aiidadb.connecting.sessions.transaction import OpenTransaction

__all__ = ["TakenConnections", "Translation"]

# Seconds for what should take a moment, before a connection is cut.
_CANCEL_TIMEOUT: Final = 0.5


class Translation:
    """Raises our errors in place of the driver's, with the original as the cause.

    Used as ``with translation:``, any number of times.

    Args:
        seconds: How long the driver waits for a statement; None: without a bound.
        closed: Set once the backend is closed, so that what that does to calls is reported as such.
    """

    __slots__ = ("_closed", "_seconds")

    def __init__(self, seconds: float | None, closed: asyncio.Event) -> None:
        self._seconds = seconds
        self._closed = closed

    def limited_to(self, seconds: float | None) -> Translation:
        """The same for a call whose statements have another limit; None: they have this one's."""
        return self if seconds is None else Translation(seconds, self._closed)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception):
            return
        if isinstance(error, asyncpg.InterfaceError) and "pool is clos" in str(error):
            raise ClosedError("the profile's pools were reset: open the backend again") from error
        if self._closed.is_set() and isinstance(error, _ENDED_BY_CLOSING):
            raise ClosedError(
                "the backend was closed while this call was under way, and its statement was "
                "cancelled"
            ) from error
        if (ours := translate(error, seconds=self._seconds)) is not None:
            raise ours from error


# What a call sees whose statement was cancelled, or connection cut, because the backend closes.
_ENDED_BY_CLOSING: Final = (
    asyncpg.QueryCanceledError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InterfaceError,
)


class TakenConnections:
    """What one backend uses of a pool, and the calls that wait for some of it.

    Args:
        pool: The pool.
        acquire_timeout: Seconds that a call waits for a free place in it; None: no bound.
        command_timeout: Seconds that the driver waits for a statement; None: no bound.

    Attributes:
        pool: The pool.
        translated: Makes the driver's errors ours.
        limits: What calls that have no connection yet wait under, except for their turn.
        done: What was done for good on connections that are in use, for callers that are cancelled
            afterwards.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        acquire_timeout: float | None,
        command_timeout: float | None = None,
    ) -> None:
        self.pool = pool
        self._places = places_of(pool)
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()
        self.translated = Translation(command_timeout, self._closed)
        self.done: dict[asyncpg.Connection, str] = {}
        self._acquire_timeout = acquire_timeout
        self._in_use: set[asyncpg.Connection] = set()
        self.limits: set[asyncio.Timeout] = set()
        # The calls in the queue, in that order, and until when they wait there. One timer is for
        # all, as each has the same time.
        self._turns: dict[asyncio.Future[bool], float | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._given_back = asyncio.Event()

    @property
    def are_closed(self) -> bool:
        """Whether no call gets a connection any more."""
        return self._closed.is_set()

    def refuse_if_closed_meanwhile(self, cause: Exception | None = None) -> None:
        """Refuse to continue a call that waited while the backend was closed.

        Raises:
            ClosedError: It was closed.
        """
        if self.are_closed:
            raise ClosedError(
                "the backend was closed while this call waited for a connection: nothing was sent"
            ) from cause

    def one(self, *, reset: bool = False) -> _Use:
        """One of the pool's connections: ``async with taken.one() as connection``.

        Args:
            reset: Whether what it is used for may change its session.

        Raises:
            ClosedError: The backend was closed meanwhile.
            PoolTimeout: No place in the pool became free in time.
            DatabaseError: No connection could be made.
        """
        return _Use(self, reset=reset)

    async def take(self, use: _Use) -> asyncpg.Connection:
        """Take a connection; what :meth:`one` begins with."""
        wait = self._acquire_timeout
        end = None if wait is None else self._loop.time() + wait
        if not self._places.enter():
            await self._wait_for_turn(end)
        try:
            if has_one_at_hand(self.pool):  # as a rule, and then a limit costs more than the rest
                with self.translated:
                    connection = await self.pool.acquire()
            else:
                connection = await self._wait_in_pool(end)
        except BaseException:
            self._places.leave()
            raise
        self._in_use.add(connection)
        use.connection = connection
        try:
            self.refuse_if_closed_meanwhile()
        except ClosedError as error:
            await self.give_back(connection, error, reset=False)
            raise
        return connection

    async def _wait_for_turn(self, end: float | None) -> None:
        turn = self._places.queue_up()
        self._turns[turn] = end
        if end is not None and self._timer is None:
            self._timer = self._loop.call_at(end, self._end_waits)
        try:
            has_place = await turn
        except BaseException:
            self._places.give_up(turn)
            raise
        finally:
            del self._turns[turn]
            self.tell_of_end()
        if not has_place:
            self.refuse_if_closed_meanwhile()
            raise self._none_free()

    def _end_waits(self) -> None:
        """End those waits in the queue whose time is over."""
        self._timer = None
        now = self._loop.time()
        for turn, end in self._turns.items():
            if end is not None and end > now:
                self._timer = self._loop.call_at(end, self._end_waits)
                return
            self._places.end_wait(turn)

    async def _wait_in_pool(self, end: float | None) -> asyncpg.Connection:
        limit = asyncio.timeout_at(end)
        self.limits.add(limit)
        try:
            with self.translated:
                try:
                    return await acquire(self.pool, limit)
                except TimeoutError as error:
                    if limit.expired():
                        self.refuse_if_closed_meanwhile(error)
                        raise self._none_free() from error
                    raise  # connecting took too long, which is something else
        finally:
            self.limits.discard(limit)
            self.tell_of_end()

    def _none_free(self) -> PoolTimeout:
        return PoolTimeout(
            f"no connection became free within {plural(self._acquire_timeout or 0, 'second')} "
            f"(the pool has {plural(self.pool.get_max_size(), 'connection')})",
            advice="try again later, or open the database with a larger max_size or "
            "acquire_timeout",
        )

    async def give_back(
        self, connection: asyncpg.Connection, error: BaseException | None, *, reset: bool
    ) -> None:
        """Give a connection back; what :meth:`one` ends with.

        Args:
            connection: The connection.
            error: The error that ends its use, and is on its way to the caller.
            reset: Whether its session may have changed.
        """
        try:
            if error is not None:
                await self._give_back_after(error, connection)
            elif reset or not give_back_clean(self.pool, connection):
                await self._release(connection, reset=reset)
        except asyncio.CancelledError as cancelled:
            # Nothing is under way on it, and the driver gives it back also where this is cancelled.
            if error is None and (note := self.done.get(connection)):
                cancelled.add_note(note)
            raise
        finally:
            self.done.pop(connection, None)
            self._in_use.discard(connection)
            self._places.leave()
            self.tell_of_end()

    async def _give_back_after(self, error: BaseException, connection: asyncpg.Connection) -> None:
        if isinstance(error, ReadOnlyDatabase | asyncpg.ReadOnlySQLTransactionError):
            # Which server accepts writes is checked on connecting only, and may have changed: the
            # next calls connect again.
            await expire_connections_of(self.pool)
        # The canceller waits for this: the statement is cancelled on the server and the
        # connection goes back clean. It is reset in any case: where the error came between
        # preparing a statement and running it, the driver has sent no end of that, so the server
        # keeps a transaction of its own open, with locks on the statement's tables.
        await clean_up_after(
            error,
            self._release_after(error, connection),
            within=RELEASE_TIMEOUT,
            give_up=partial(cut, connection),
        )

    async def _release_after(self, error: BaseException, connection: asyncpg.Connection) -> None:
        try:
            await self._release(connection, reset=True)
        except Exception as another:
            if not is_callers_own(another):
                raise
            error.add_note(f"afterwards the pool's reset function raised {quote(another)}")

    async def _release(self, connection: asyncpg.Connection, *, reset: bool) -> None:
        if not reset:
            mark_clean(connection)
        try:
            await self.pool.release(connection, timeout=RELEASE_TIMEOUT)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            # The connection was broken, and asyncpg has cut it; what broke it is on its way to the
            # caller. But a pool's reset function is the caller's, and so is what that raises.
            if is_callers_own(error):
                raise

    def tell_of_end(self) -> None:
        """Let :meth:`close` check again: a call, or its turn in a transaction, has ended."""
        self._given_back.set()

    async def close(self, own: OpenTransaction | None, timeout: float | None) -> None:  # noqa: ASYNC109
        """Refuse every further call, and make sure that none is under way.

        Args:
            own: The transaction of the task that closes, which cannot end before this does.
            timeout: Seconds that calls under way get; None: no bound.
        """
        self._closed.set()
        for turn in self._turns:
            self._places.end_wait(turn)
        if self._timer is not None:
            self._timer.cancel()
        now = self._loop.time()
        for limit in self.limits:
            if not limit.expired():
                limit.reschedule(now)
        try:
            await self._let_end(own, timeout)
        except asyncio.CancelledError as error:
            await clean_up_after(error, self._end_calls(own), within=None)
            raise
        if self._are_under_way(own):
            await uninterrupted(self._end_calls(own), within=None)

    async def _let_end(self, own: OpenTransaction | None, seconds: float | None) -> None:
        """Wait until no call is under way; the closing task's own transaction may be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._are_under_way(own):
                    self._given_back.clear()
                    await self._given_back.wait()

    def _are_under_way(self, own: OpenTransaction | None) -> bool:
        wait = self._turns or self.limits
        return bool(wait or self._to_be_given_back(own) or (own and own.is_taken))

    def _to_be_given_back(self, own: OpenTransaction | None) -> set[asyncpg.Connection]:
        return self._in_use - (set() if own is None else {own.connection})

    async def _end_calls(self, own: OpenTransaction | None) -> None:
        busy = self._to_be_given_back(own)
        if own is not None and own.is_taken:  # by a task that was started inside
            busy.add(own.connection)
        await asyncio.gather(*map(cancel_statement, busy))
        await self._let_end(own, _CANCEL_TIMEOUT)
        for connection in self._to_be_given_back(own):
            cut(connection)


class _Use:
    """One use of a connection.

    A class, because generators in its place would cost as much as a tenth of a small query.
    """

    __slots__ = ("_reset", "_taken", "connection")

    connection: asyncpg.Connection

    def __init__(self, taken: TakenConnections, *, reset: bool) -> None:
        self._taken = taken
        self._reset = reset

    def __aenter__(self) -> Awaitable[asyncpg.Connection]:
        return self._taken.take(self)

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Awaitable[None]:
        return self._taken.give_back(self.connection, error, reset=self._reset)
