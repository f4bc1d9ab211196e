"""Work that no cancellation cuts short: a COMMIT, a ROLLBACK, giving a connection back.

A shield of anyio holds off only the cancellation of anyio's scopes. ``asyncio.timeout``,
``Task.cancel``, a sibling that fails in a ``TaskGroup``, and Ctrl-C cancel a task whatever scopes
it is in. What must not be cut runs here as a task of its own, which they do not reach, while the
task that was cancelled waits for it: for a bounded time, which begins at the first cancellation.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import anyio
from anyio import to_thread

from aiidadb.exceptions import UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Stop", "clean_up_after", "in_thread", "uninterrupted"]

T = TypeVar("T")

_GRACE: Final = 1.0
"""Seconds in which work that was given up must end."""


class Stop(NamedTuple):
    """How work can be asked to stop.

    Attributes:
        ask: Asks it.
        errors: What it raises where it did, if that is not a result like others.
    """

    ask: Callable[[], Coroutine[Any, Any, None]]  # ends by itself, soon
    errors: tuple[type[Exception], ...] = ()


async def uninterrupted(
    work: Coroutine[Any, Any, T],
    *,
    within: float | None,
    give_up: Callable[[], None] | None = None,
    unanswered: Callable[[], Exception] | None = None,
    note: str | None = None,
    stop: Stop | None = None,
) -> T:
    """Do some work to its end, and only then be cancelled.

    Requests to cancel are counted and taken back by their senders (``Task.uncancel``), so nothing
    is changed about them here. A second one, or a hundredth, changes nothing.

    Args:
        work: What to do. It runs in a copy of the current context.
        within: How many seconds to wait for it once cancelled; None: as long as it takes.
        give_up: Ends the work immediately when those are over, such as ``Connection.terminate``;
            the work is cancelled as well.
        unanswered: The error to raise then, in place of ``CancelledError``.
        note: What to say of the work on the ``CancelledError``, where it was done all the same.
        stop: How to ask for an early end once cancelled, where the work can be asked to stop.

    Returns:
        What the work returns.

    Raises:
        asyncio.CancelledError: This call was cancelled. The work was done, or it was stopped, or
            it was given up and there is no error to raise for that.
        Exception: What the work raises, or ``unanswered()``, also where this call was cancelled.
    """
    task = asyncio.ensure_future(work)
    cancelled = None
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError as first:
        cancelled = first
        if not await _outlast_or_give_up(task, within, give_up, stop):
            raise (unanswered() if unanswered else first) from None
    except BaseException:  # this coroutine is thrown away
        task.add_done_callback(_take_note)
        raise
    if task.cancelled() and unanswered is not None:  # as all tasks are where an event loop ends
        raise unanswered()
    if cancelled is None or _has_more_to_say(task, cancelled, stop):
        return task.result()
    if note is not None and _is_done(task):
        cancelled.add_note(note)
    raise cancelled


def _is_done(task: asyncio.Future[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


def _has_more_to_say(
    task: asyncio.Future[Any], cancelled: asyncio.CancelledError, stop: Stop | None
) -> bool:
    """Whether a task failed, and not because it was asked to stop."""
    error = None if task.cancelled() else task.exception()
    if error is None or (stop is not None and isinstance(error, stop.errors)):
        return False
    if error.__context__ is None:
        error.__context__ = cancelled
    return True


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call what blocks in a thread, and wait for its end.

    Nothing can stop a thread, and asyncio's own cancellation does not wait for one. A long call
    asks ``anyio.from_thread.check_cancelled`` now and then, which raises where it is to end.

    Args:
        function: What to call.
        arguments: What to call it with.

    Returns:
        What it returns.

    Raises:
        asyncio.CancelledError: This was cancelled; the call has ended.
        Exception: What it raises.
    """
    scope = anyio.CancelScope()

    async def call() -> T:
        with scope:
            return await to_thread.run_sync(partial(function, *arguments))
        raise asyncio.CancelledError  # it was asked to end, and did

    async def ask() -> None:
        scope.cancel()

    return await uninterrupted(call(), within=None, stop=Stop(ask))


async def clean_up_after(
    error: BaseException,
    work: Coroutine[Any, Any, object],
    *,
    within: float | None,
    give_up: Callable[[], None] | None = None,
) -> None:
    """Undo or give back something while an error is on its way.

    The caller still gets that error, also where this is cancelled meanwhile, if it
    says that the caller was cancelled or replaced that, or that an outcome is unknown.

    Args:
        error: The error.
        work: What to do.
        within: As for :func:`uninterrupted`. It begins now where the error is a cancellation.
        give_up: As for :func:`uninterrupted`.

    Raises:
        asyncio.CancelledError: This was cancelled, and the error is another one.
        Exception: What the work raises.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.ensure_future(work)
        if await _outlast_or_give_up(task, within, give_up) and not task.cancelled():
            task.result()
        return
    try:
        await uninterrupted(work, within=within, give_up=give_up)
    except asyncio.CancelledError:
        if not isinstance(error, UnknownOutcome) and not _took_the_place_of_cancellation(error):
            raise


def _took_the_place_of_cancellation(error: BaseException) -> bool:
    """Whether it was raised by :func:`uninterrupted` to a caller that was cancelled.

    It, or what it was translated from. (The error of a time limit is raised *from* a cancellation.)
    """
    return any(
        isinstance(one.__context__, asyncio.CancelledError) and one.__cause__ is not one.__context__
        for one in (error, error.__cause__)
        if one is not None
    )


async def _outlast_or_give_up(
    task: asyncio.Future[Any],
    within: float | None,
    give_up: Callable[[], None] | None,
    stop: Stop | None = None,
) -> bool:
    """Wait for a task through all cancellations; whether it ended by itself."""
    # Without the shield, a scope of anyio's that is cancelled would cancel on every turn of the
    # event loop.
    with anyio.CancelScope(shield=True):
        stopping = None if stop is None else asyncio.ensure_future(stop.ask())
        has_ended = await _outlast(task, within)
        if not has_ended:
            if give_up is not None:
                give_up()
            task.cancel()
            task.add_done_callback(_take_note)
            await _outlast(task, _GRACE)
        if stopping is not None:
            # It is waited for, because a request that arrives late would stop what is done next.
            # After work that was given up, nothing is done next.
            if not has_ended:
                stopping.cancel()
            stopping.add_done_callback(_take_note)
            await _outlast(stopping, None)
    return has_ended


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
    """Look at how a task ended that nothing waits for: otherwise asyncio logs its error."""
    if not task.cancelled():
        task.exception()
