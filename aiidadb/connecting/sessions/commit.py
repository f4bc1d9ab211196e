"""Waiting for the answer to a permanent change: its outcome is known, or reported as unknown."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg

from aiidadb.connecting.driver.statement import TimeLimit, cut
from aiidadb.connecting.uninterrupted import uninterrupted
from aiidadb.exceptions import QueryTimeout, UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiidadb.connecting.uninterrupted import Stop

__all__ = ["COMMIT_TIMEOUT", "committed"]

COMMIT_TIMEOUT: Final = 10.0
"""Seconds that a cancelled caller waits for the answer, if not said otherwise."""

T = TypeVar("T")


async def committed(
    send: Callable[[], Awaitable[T]],
    connection: asyncpg.Connection,
    *,
    what: str,
    consequence: str,
    note: str,
    within: float | None,
    stop: Stop | None = None,
) -> T:
    """Send a COMMIT, or what ends with one, and wait for the answer, also when cancelled.

    Where it takes longer than the connection's ``command_timeout``, the server is asked to cancel
    it, and its answer decides.

    Args:
        send: Sends it, on the connection.
        connection: It is cut where there is no answer in time.
        what: What is sent, for messages: ``"COMMIT"``.
        consequence: What is not known then, and what to do.
        note: What to say on ``CancelledError`` where it was carried out all the same.
        within: Seconds to wait for the answer, from the first cancellation on; None: no bound.
        stop: As for :func:`~aiidadb.connecting.uninterrupted.uninterrupted`.

    Returns:
        What ``send`` returns.

    Raises:
        asyncio.CancelledError: This was cancelled; there is an answer, and it is not an error.
        UnknownOutcome: The connection was lost before the answer, or there was none in time.
        QueryTimeout: It took too long, and the server cancelled it.
        Exception: What the server answered.
    """
    limit = TimeLimit(connection)

    async def sent() -> T:
        async with limit:
            return await send()  # which may refuse before there is anything to await

    try:
        return await uninterrupted(
            sent(),
            within=within,
            give_up=partial(cut, connection),
            unanswered=lambda: UnknownOutcome(
                f"the server had not answered {what} when waiting for that ended, {within or 0:g} "
                f"seconds after the cancellation at most: {consequence}"
            ),
            note=note,
            stop=stop,
        )
    except Exception as error:
        if limit.is_over and isinstance(error, asyncpg.QueryCanceledError):
            raise QueryTimeout(
                f"{what} took longer than the {limit.seconds:g} seconds allowed and was cancelled: "
                "nothing was changed",
                sqlstate=error.sqlstate,
            ) from error
        if limit.is_over and _may_have_been_carried_out(error):
            raise UnknownOutcome(
                f"{what} took longer than the {limit.seconds:g} seconds allowed, and the server "
                f"did not say in time whether it was cancelled: {consequence}"
            ) from error
        if _may_have_been_carried_out(error):
            raise UnknownOutcome(
                f"the connection was lost before the answer to {what}: {consequence}"
            ) from error
        raise


def _may_have_been_carried_out(error: Exception) -> bool:
    if isinstance(error, asyncpg.QueryCanceledError):
        return False
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error) or "released back to the pool" in str(error)
    return isinstance(
        error,
        asyncpg.PostgresConnectionError
        | asyncpg.OperatorInterventionError  # a server that shuts down may commit before it goes
        | asyncpg.StatementCompletionUnknownError
        | asyncpg.InternalClientError
        | OSError,
    )
