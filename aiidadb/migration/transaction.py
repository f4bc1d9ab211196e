"""All or nothing: a transaction whose COMMIT is waited for, and its outcome known or reported."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.connecting.driver.statement import cut
from aiidadb.connecting.sessions.commit import COMMIT_TIMEOUT, committed
from aiidadb.connecting.uninterrupted import clean_up_after, uninterrupted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg.transaction import Transaction

__all__ = ["DRIVER_ERRORS", "atomic", "roll_back"]

_ROLLBACK_TIMEOUT: Final = 10.0
_RUN_AGAIN: Final = "run again, which continues from where the database is"

DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises on a connection that was open, also where the other end is gone."""


@contextlib.asynccontextmanager
async def atomic(
    connection: asyncpg.Connection, what: str, advice: str = _RUN_AGAIN
) -> AsyncIterator[None]:
    """A transaction, or inside one a savepoint: all of it or nothing.

    Args:
        connection: The connection.
        what: What is committed, for messages: ``"step django_0014"``.
        advice: What to do where it is not known whether the database has it.

    Raises:
        UnknownOutcome: The connection was lost during the commit.
    """
    isolation = None if connection.is_in_transaction() else "read_committed"
    transaction = connection.transaction(isolation=isolation)
    await transaction.start()
    try:
        yield
    except BaseException as error:
        await roll_back(transaction, connection, error)
        raise
    await committed(
        transaction.commit,
        connection,
        what=f"the commit of {what}",
        consequence=f"it is not known whether the database has it; {advice}",
        note=f"{what} was committed all the same",
        within=COMMIT_TIMEOUT,
    )


async def roll_back(
    transaction: Transaction, connection: asyncpg.Connection, error: BaseException | None = None
) -> None:
    """Undo a transaction; where the connection is lost, the server does so by itself.

    Args:
        transaction: The transaction, or a savepoint.
        connection: Its connection. It is cut where there is no answer in time.
        error: What is on its way to the caller meanwhile.

    Raises:
        asyncio.CancelledError: This was cancelled, and no error or another one is on its way.
    """

    async def undo() -> None:
        with contextlib.suppress(Exception):
            await transaction.rollback()

    cutting = partial(cut, connection)
    if error is None:
        await uninterrupted(undo(), within=_ROLLBACK_TIMEOUT, give_up=cutting)
    else:
        await clean_up_after(error, undo(), within=_ROLLBACK_TIMEOUT, give_up=cutting)
