"""Work that no cancellation cuts short: a COMMIT, a ROLLBACK, giving a connection back.

A shield of anyio holds off the cancellation of anyio's scopes alone. ``asyncio.timeout``,
``Task.cancel``, a sibling that fails in a ``TaskGroup``, and Ctrl-C cancel a task whatever scopes
it is in. What must not be cut runs here as a task of its own, which they do not reach, while the
task that was cancelled waits for it: for a bounded time, which begins at the first cancellation.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from aiidadb.exceptions import UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["clean_up_after", "uninterrupted"]

T = TypeVar("T")

_GRACE: Final = 1.0
"""Seconds in which work that was given up must end."""


async def uninterrupted(
    work: Coroutine[Any, Any, T],
    *,
    within: float | None,
    give_up: Callable[[], None] | None = None,
    unanswered: Callable[[], Exception] | None = None,
    note: str | None = None,
) -> T:
    """Do some work to its end, and only then be cancelled.

    Requests to cancel are counted and taken back by who made them (``Task.uncancel``), so nothing
    is changed about them here. A second one, or a hundredth, changes nothing.

    Args:
        work: What to do. It runs in a copy of the current context.
        within: How many seconds to wait for it once cancelled; None: as long as it takes.
        give_up: Ends the work at once when those are over, such as ``Connection.terminate``; the
            work is cancelled as well.
        unanswered: The error to raise then, in the place of ``CancelledError``.
        note: What to say of the work on the ``CancelledError``, where it was done all the same.

    Returns:
        What the work returns.

    Raises:
        asyncio.CancelledError: This call was cancelled. The work was done, or given up without an
            error to raise for it.
        Exception: What the work raises, or ``unanswered()``, also where this call was cancelled.
    """
    task = asyncio.ensure_future(work)
    cancelled = None
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError as first:
        cancelled = first
        # Without the shield, a scope of anyio's that is cancelled would cancel on every turn of the
        # event loop.
        with anyio.CancelScope(shield=True):
            if not await _outlast(task, within):
                if give_up is not None:
                    give_up()
                task.cancel()
                task.add_done_callback(_take_note)
                await _outlast(task, _GRACE)
                raise (unanswered() if unanswered else first) from None
    except BaseException:  # this coroutine is thrown away
        task.add_done_callback(_take_note)
        raise
    if task.cancelled() and unanswered is not None:  # as all tasks are where an event loop ends
        raise unanswered()
    if cancelled is None or (not task.cancelled() and task.exception() is not None):
        return task.result()
    if note is not None and not task.cancelled():
        cancelled.add_note(note)
    raise cancelled


async def clean_up_after(
    error: BaseException,
    work: Coroutine[Any, Any, object],
    *,
    within: float | None,
    give_up: Callable[[], None] | None = None,
) -> None:
    """Undo or give back something while an error is on its way.

    What the caller is to hear of stays that error, also where this is cancelled meanwhile, if it
    says that the caller was cancelled, or that an outcome is unknown.

    Args:
        error: The error.
        work: What to do; it should not raise.
        within: As for :func:`uninterrupted`.
        give_up: As for :func:`uninterrupted`.

    Raises:
        asyncio.CancelledError: This was cancelled, and the error is another one.
    """
    try:
        await uninterrupted(work, within=within, give_up=give_up)
    except asyncio.CancelledError:
        if not isinstance(error, asyncio.CancelledError | UnknownOutcome):
            raise


async def _outlast(task: asyncio.Future[Any], seconds: float | None) -> bool:
    """Wait for a task through all cancellations; whether it is done."""
    loop = asyncio.get_running_loop()
    end = None if seconds is None else loop.time() + seconds
    while not task.done():
        remaining = None if end is None else end - loop.time()
        if remaining is not None and remaining <= 0:
            return False
        try:
            await asyncio.wait((task,), timeout=remaining)
        except asyncio.CancelledError:
            continue
    return True


def _take_note(task: asyncio.Future[Any]) -> None:
    """Look at how a task ended, whose end nobody waits for: else asyncio logs its error."""
    if not task.cancelled():
        task.exception()
