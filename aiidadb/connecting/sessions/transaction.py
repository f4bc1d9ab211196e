"""One level of an open transaction: how it begins and ends, and whose turn its connection is."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.connecting.driver.statement import RELEASE_TIMEOUT, cut
from aiidadb.connecting.sessions.commit import committed
from aiidadb.connecting.uninterrupted import clean_up_after, uninterrupted
from aiidadb.exceptions import (
    ClosedError,
    ConcurrencyError,
    DatabaseError,
    UnreachableStorage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

__all__ = ["COMMITTED", "OpenTransaction", "transaction_over"]

COMMITTED: Final = "the transaction was committed all the same: its changes are in the database"
"""What to say on ``CancelledError`` where it was."""

# Seconds for BEGIN to be answered once it is cancelled, before the connection is cut.
_BEGIN_TIMEOUT: Final = 0.5

# Seconds that a savepoint of the caller's may keep others waiting. They may be what it waits for.
_PATIENCE: Final = 0.5


# A transaction of the caller's begins as DEFERRABLE, which means nothing unless it is serializable
# and read-only. One that SQL of the caller's own begins is not, as a rule. So an error, a division
# by zero, says that it is another one, without one more question.
_IS_STILL_THE_SAME: Final = """
    select 1 / (pg_catalog.current_setting('transaction_deferrable') = 'on')::int
"""
_IS_ANOTHER: Final = "22012"


class OpenTransaction:
    """A transaction, or a savepoint inside one.

    Args:
        connection: The connection that it is on.
        translated: Makes the driver's errors ours; it can be entered any number of times.
        commit_timeout: Seconds that a cancelled caller waits for the answer to COMMIT.
        snapshot: Whether it only reads, and all of it as of its beginning.
        nested: Whether it is a savepoint.
        by_caller: Whether the caller has the connection, and does on it what is not known here.

    Attributes:
        connection: The connection.
        open: Whether it has not ended yet.
        savepoint_since: When the caller opened a savepoint that has the turn now.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        translated: AbstractContextManager[None],
        *,
        commit_timeout: float | None,
        snapshot: bool = False,
        nested: bool = False,
        by_caller: bool = False,
    ) -> None:
        self.connection = connection
        self.open = True
        self.savepoint_since: float | None = None
        with translated:  # the connection may be lost
            self._block = connection.transaction(
                isolation="repeatable_read" if snapshot else None,
                readonly=snapshot,
                deferrable=by_caller,
            )
        self._lock = asyncio.Lock()
        self._waiting = 0  # calls, of which one may have its turn without having noticed
        self._translated = translated
        self._commit_timeout = commit_timeout
        self._nested = nested
        self._by_caller = by_caller

    @property
    def is_taken(self) -> bool:
        """Whether a call has the connection now, or waits for it."""
        return self._lock.locked()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have exclusive use of the connection.

        Raises:
            ClosedError: The transaction has ended.
            ConcurrencyError: A savepoint that the caller opened does not release it.
        """
        async with self._taken():
            if not self.open:
                raise transaction_over()
            yield

    async def begin(self) -> None:
        """Send BEGIN, or SAVEPOINT.

        Raises:
            DatabaseError: What the server reported, by SQLSTATE.
        """
        cutting = partial(cut, self.connection)
        try:
            # Not to be cut either: whether there is a transaction to undo must be known.
            with self._translated:
                await uninterrupted(self._block.start(), within=_BEGIN_TIMEOUT, give_up=cutting)
        except asyncio.CancelledError as error:
            await self.undo_after(error)
            raise
        except Exception as error:
            # A savepoint that meets a statement of the caller's own was not sent.
            if not (_is_answer(error) or (self._nested and isinstance(error, ConcurrencyError))):
                cutting()
            raise

    async def commit(self) -> None:
        """Send COMMIT, or release the savepoint, and wait for the answer, also when cancelled.

        Raises:
            UnknownOutcome: The connection was lost, or there was no answer in time.
            UnreachableStorage: The connection was lost before that; nothing was changed.
            QueryTimeout: It took too long, and the server cancelled it; nothing was changed.
            DatabaseError: What the server reported; nothing was changed. Or the caller's own SQL
                ended the transaction before.
        """
        async with self._taken():
            if not self._nested:
                await self._look_before_commit()
            self.open = False
            cutting = partial(cut, self.connection)
            try:
                with self._translated:
                    if self._nested:
                        await uninterrupted(
                            self._block.commit(), within=self._commit_timeout, give_up=cutting
                        )
                    else:
                        await self._commit_outermost()
            except Exception as error:
                if not _is_answer(error):
                    cutting()
                raise

    async def _commit_outermost(self) -> None:
        await committed(
            self._block.commit,
            self.connection,
            what="COMMIT",
            consequence="whether the changes are in the database is not known, "
            "check before trying again",
            note=COMMITTED,
            within=self._commit_timeout,
        )

    async def _look_before_commit(self) -> None:
        """Make sure that there is something to commit. What fails here must be rolled back."""
        try:
            with self._translated:
                # The first asks only the driver, which may already know that it has lost it.
                is_over = not self.connection.is_in_transaction()
                if self._by_caller and not is_over:
                    # Where a statement failed and the caller ignored that, PostgreSQL answers
                    # COMMIT with a mere ROLLBACK, which is not an error. It answers this with one.
                    await self.connection.execute(_IS_STILL_THE_SAME)
        except UnreachableStorage as error:
            raise UnreachableStorage(
                "the connection was lost before COMMIT was sent, and nothing of the transaction is "
                "stored",
                sqlstate=error.sqlstate,
                advice="run the whole transaction again",
            ) from error
        except DatabaseError as error:
            if error.sqlstate != _IS_ANOTHER:
                raise
            raise _ended_by_caller(", and began another one, which was rolled back") from None
        if is_over:
            raise _ended_by_caller()

    async def undo(self) -> None:
        """Roll it back, once the call that is under way, if any, is done."""
        await uninterrupted(
            self._undo(), within=RELEASE_TIMEOUT, give_up=partial(cut, self.connection)
        )

    async def undo_after(self, error: BaseException) -> None:
        """:meth:`undo` because of an error, which is on its way to the caller."""
        await clean_up_after(
            error,
            self._undo(),
            within=RELEASE_TIMEOUT,
            give_up=partial(cut, self.connection),
        )

    async def _undo(self) -> None:
        try:
            async with self._taken():
                is_over, self.open = not self.open, False
                if not is_over:
                    # After a statement that was not answered in time this would not be either.
                    async with asyncio.timeout(RELEASE_TIMEOUT):
                        await self._block.rollback()
        except (ConcurrencyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            # Something else is under way on the connection, or it is broken: the server undoes it.
            self.open = False
            cut(self.connection)

    @contextlib.asynccontextmanager
    async def _taken(self) -> AsyncIterator[None]:
        if self._lock.locked() or self._waiting:
            await self._wait()
        else:
            await self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    async def _wait(self) -> None:
        self._waiting += 1
        try:
            await self._wait_patiently()
        finally:
            self._waiting -= 1

    async def _wait_patiently(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._lock.acquire()
                    return
            since = self.savepoint_since
            if since is not None and loop.time() - since >= _PATIENCE:
                raise ConcurrencyError(
                    "this call belongs to a transaction in which a savepoint is open (one "
                    "backend.transaction() inside another), and cannot be made before its end",
                    advice="await tasks that were started before the savepoint outside of it",
                )


def _ended_by_caller(and_then: str = "") -> DatabaseError:
    return DatabaseError(
        "the caller's own SQL ended the transaction (COMMIT or ROLLBACK) before the end of "
        f"backend.transaction(){and_then}",
        advice="leave that to backend.transaction(); to undo everything, raise an error inside",
    )


def _is_answer(error: Exception) -> bool:
    """Whether the server said that a statement failed, so that the connection is as it was."""
    return isinstance(error.__cause__ or error, asyncpg.PostgresError)


def transaction_over() -> ClosedError:
    """The error for a call that belongs to a transaction that has ended."""
    return ClosedError(
        "this task was started inside a transaction that has ended: wait for such tasks inside it"
    )
