"""All of it or nothing: a transaction whose COMMIT is waited for, and its outcome known or told."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import anyio
import asyncpg

from aiidadb.exceptions import UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["DRIVER_ERRORS", "atomic"]

DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises on a connection that was open, also where the other end is gone."""


@contextlib.asynccontextmanager
async def atomic(connection: asyncpg.Connection, what: str) -> AsyncIterator[None]:
    """A transaction, or inside one a savepoint: all of it or nothing.

    Args:
        connection: The connection.
        what: What is committed, for messages: ``"step django_0014"``.

    Raises:
        UnknownOutcome: The connection was lost during the commit.
    """
    isolation = None if connection.is_in_transaction() else "read_committed"
    transaction = connection.transaction(isolation=isolation)
    await transaction.start()
    try:
        yield
    except BaseException:
        # Where the connection is lost, the server undoes it by itself.
        with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
            await transaction.rollback()
        raise
    try:
        # Cut short, a COMMIT has an unknown outcome: it is waited for even when cancelled.
        with anyio.CancelScope(shield=True):
            await transaction.commit()
    except (
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
    ) as error:
        raise UnknownOutcome(
            f"the connection was lost while {what} was committed, so it is not known whether the "
            "database has it: run again, which goes on from where the database is"
        ) from error
