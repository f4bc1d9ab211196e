"""Runs the command line as users do: in a process of its own, on a terminal or piped."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.helpers.processes import LIMIT, finished, interruptible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMAND = (sys.executable, "-m", "aiidadb")

_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")


class Terminal:
    """A process on a pseudo-terminal."""

    def __init__(self, process: subprocess.Popen[bytes], controller: int) -> None:
        self.process = process
        self._controller = controller
        self._output = b""

    @property
    def raw(self) -> str:
        """All that was sent to the terminal, escape sequences included."""
        return self._output.decode(errors="replace")

    @property
    def text(self) -> str:
        """The same without escape sequences."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def wait_for(self, text: str, seconds: float = LIMIT) -> None:
        """Read until a text was shown."""
        end = time.monotonic() + seconds
        while text not in self.text:
            assert self._read(end), f"{text!r} is not in:\n{self.text}"

    def send(self, keys: str) -> None:
        """Type."""
        os.write(self._controller, keys.encode())

    def finish(self, seconds: float = LIMIT) -> int:
        """Read to the end; gives the exit status."""
        end = time.monotonic() + seconds
        while self._read(end):
            pass
        return self.process.wait(max(end - time.monotonic(), 1))

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._controller], [], [], max(end - time.monotonic(), 0))
        if not ready:
            return False
        try:
            data = os.read(self._controller, 65536)
        except OSError:  # Linux's way to say that it is no longer open anywhere
            return False
        self._output += data
        return bool(data)


@contextmanager
def on_terminal(
    *arguments: str, columns: int = 80, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run ``aiidadb`` on a terminal of 24 lines; what is still running at the end is killed."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # The width is the terminal's own; the module readline sets these where it is imported.
    inherited = {name: os.environ[name] for name in os.environ.keys() - {"COLUMNS", "LINES"}}
    with interruptible():
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**inherited, "TERM": "xterm-256color", **(environment or {})},
            start_new_session=True,
            # Ctrl-C is for the processes of the terminal that is theirs.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
    with process:
        os.close(terminal)
        try:
            yield Terminal(process, controller)
        finally:
            process.kill()
            os.close(controller)


def piped(
    *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``aiidadb`` with pipes in place of a terminal."""
    return finished([*COMMAND, *arguments], input=stdin, environment=environment)
