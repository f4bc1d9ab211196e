"""Processes that tests start: each has a limit, and the signals that a terminal's user can send."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["LIMIT", "finished", "ignoring", "interruptible", "started"]

LIMIT: Final = 120
"""Seconds after which a process is killed, far beyond what any of them takes."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals end the processes that are started here, also where this process ignores them.

    What a process ignores is ignored by those that it starts: SIGINT in the background of a shell
    script, SIGHUP under ``nohup``. Only the main thread can change that: processes that another one
    starts are waited for, and receive no signal.
    """
    ignored = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        ignored.clear()
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def ignoring(*names: str) -> list[str]:
    """What starts a command with signals ignored, as a shell script does in the background."""
    return ["sh", "-c", f'trap "" {" ".join(names)}; exec "$@"', "sh"] if names else []


@contextmanager
def started(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, limit: float = LIMIT
) -> Iterator[subprocess.Popen[str]]:
    """Start a process whose input and output are pipes; at the end it is killed if it still runs.

    Args:
        command: The program and its arguments.
        environment: What to set beside this process's own environment.
        limit: Seconds after which it is killed, so that what reads from it continues.
    """
    with interruptible():
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    killer = threading.Timer(limit, process.kill)
    killer.start()
    with process:
        try:
            yield process
        finally:
            process.kill()
            killer.cancel()


def finished(
    command: Sequence[str],
    *,
    input: str = "",  # noqa: A002 - as in subprocess.run
    environment: Mapping[str, str] | None = None,
    limit: float = LIMIT,
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end; its input and output are pipes.

    Raises:
        subprocess.TimeoutExpired: It did not end within ``limit`` seconds, and was killed.
    """
    with interruptible():
        return subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            input=input,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
