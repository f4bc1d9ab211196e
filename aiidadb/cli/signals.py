"""Signals that end a command: what runs is cancelled, and a second one ends it immediately.

Python's own way, which asyncio takes over, is for SIGINT alone, and there is none where SIGINT is
ignored, as it is for what a script starts in the background. So all three are handled here, and
each by itself: what was ignored when the process started (SIGINT there, SIGHUP under ``nohup``)
stays ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["Signals", "ending_signals", "run_until_signal"]

T = TypeVar("T")

_ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_PYTHONS_OWN: Final = (signal.SIG_DFL, signal.default_int_handler)

_AT_ONCE: Final = 0.2
"""Seconds in which signals are one: ``timeout`` sends its signal to a process and to its group."""

_main_tasks: Final[list[asyncio.Task[object]]] = []
"""The task of the event loop that runs, which a signal cancels; empty where none runs."""


class Signals:
    """The signals that came.

    Attributes:
        number: The first one's number; None before.
        is_urgent: Whether one came after it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.is_urgent = False
        self._came_at = 0.0

    def handle(self, number: int, _frame: object) -> None:
        """Cancel what runs; where nothing does, and from the second time on, interrupt."""
        now = time.monotonic()
        if self.number is None:
            self.number, self._came_at = number, now
            if _main_tasks:
                task = _main_tasks[-1]
                task.cancel()
                # The event loop looks for work only once something wakes it.
                task.get_loop().call_soon_threadsafe(_do_nothing)
                return
        elif now - self._came_at < _AT_ONCE:
            return
        else:
            self.is_urgent = True
        raise KeyboardInterrupt

    def end_process(self, status: int) -> NoReturn:
        """End this process without waiting for its threads."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


@contextlib.contextmanager
def ending_signals() -> Iterator[Signals]:
    """Handle the signals that end a process.

    Yields:
        Those that came.
    """
    signals = Signals()
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other may
        for name in _ENDING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in _PYTHONS_OWN:
                before[number] = signal.signal(number, signals.handle)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_until_signal(work: Callable[[], Awaitable[T]]) -> T:
    """Run an event loop for some work, which a signal cancels.

    Args:
        work: The work.

    Returns:
        What it returns.

    Raises:
        KeyboardInterrupt: It was cancelled. Notes of what it did all the same are with the context
            of this. Or a second signal came.
        Exception: What the work raises.
    """

    async def run() -> T:
        task = asyncio.current_task()
        assert task is not None
        _main_tasks.append(task)
        try:
            return await work()
        finally:
            _main_tasks.remove(task)

    try:
        return anyio.run(run)
    except asyncio.CancelledError as cancelled:
        raise KeyboardInterrupt from cancelled


def _do_nothing() -> None:
    pass
