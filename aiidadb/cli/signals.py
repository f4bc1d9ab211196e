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
import select
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TextIO, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["Signals", "run_until_signal", "wait_for_input"]

T = TypeVar("T")

_ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_PYTHONS_OWN: Final = (signal.SIG_DFL, signal.default_int_handler)

_AT_ONCE: Final = 0.2
"""Seconds in which signals are one: ``timeout`` sends its signal to a process and to its group.

While an event loop runs, they are seconds in which it gets its turn: of two signals that come at
once, a process that has to wait for a processor in between handles the second one late.
"""

_LONGEST_PAUSE: Final = 2.0
"""Seconds after which a second signal counts, whatever the event loop has done since."""

_MANY: Final = 4096
"""More bytes than signals come at once; each writes one."""

_main_tasks: Final[list[asyncio.Task[object]]] = []
"""The task of the event loop that runs, which a signal cancels; empty where none runs."""


class Signals:
    """The signals that end this process; at the end of ``with``, they are handled as before.

    Attributes:
        number: The number of the first that came; None before.
        is_urgent: Whether one came after it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.is_urgent = False
        self._came_at = 0.0
        self._loop_has_gone_on = True
        self._before: dict[int, Any] = {}
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def handle(self) -> None:
        """Handle them from now on.

        The first cancels the event loop that runs, and raises KeyboardInterrupt where none does; a
        second one raises it wherever this process is.
        """
        if threading.current_thread() is not threading.main_thread():  # no other may
            return
        for name in _ENDING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in _PYTHONS_OWN:
                self._before[number] = signal.getsignal(number)
                signal.signal(number, self._end)

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def end_process(self, status: int) -> NoReturn:
        """End this process without waiting for its threads."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)

    def _end(self, number: int, _frame: object) -> None:
        if self._is_over:  # the process ends, and its exit status is known
            return
        now = time.monotonic()
        if self.number is None:
            self.number, self._came_at = number, now
            if _main_tasks:
                task = _main_tasks[-1]
                task.cancel()
                loop = task.get_loop()
                self._loop_has_gone_on = False
                loop.call_soon_threadsafe(loop.call_later, _AT_ONCE, self._note_that_it_has)
                return
        elif now - self._came_at < (
            _LONGEST_PAUSE if _main_tasks and not self._loop_has_gone_on else _AT_ONCE
        ):
            return
        else:
            self.is_urgent = True
        raise KeyboardInterrupt

    def _note_that_it_has(self) -> None:
        self._loop_has_gone_on = True


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
        with _signals_wake(asyncio.get_running_loop()):
            _main_tasks.append(task)
            try:
                return await work()
            finally:
                _main_tasks.remove(task)

    try:
        return anyio.run(run)
    except asyncio.CancelledError as cancelled:
        raise KeyboardInterrupt from cancelled


def wait_for_input(stream: TextIO) -> None:
    """Wait until something can be read, or a signal raises KeyboardInterrupt.

    Without this, a signal that comes just before a read begins would only be handled once there is
    something to read. On Windows, and if the stream is not a file, this does nothing.

    Args:
        stream: Where to read; nothing has been read from it so far.
    """
    try:
        file = stream.fileno()
    except (OSError, ValueError):
        return
    with _each_signal_written() as reader:
        if reader is None:
            return
        while file not in select.select([file, reader.fileno()], [], [])[0]:
            reader.recv(_MANY)


@contextlib.contextmanager
def _signals_wake(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let each signal wake an event loop, which otherwise may not run its handler for a while."""
    with _each_signal_written() as reader:
        if reader is None:
            yield
            return
        loop.add_reader(reader, reader.recv, _MANY)
        try:
            yield
        finally:
            loop.remove_reader(reader)


@contextlib.contextmanager
def _each_signal_written() -> Iterator[socket.socket | None]:
    """Have a byte written to a socket for each signal, which ends a wait that includes the socket.

    A signal interrupts the main thread's wait for events, and Python runs the handler then. One
    that comes just before the wait, or to another thread, does not interrupt it.

    Yields:
        Where to read; None on Windows, where asyncio does this itself, and in other threads than
        the main one, where no handler runs.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield None
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(before)
