"""Processes that list shards side by side, where the listing itself takes long.

They are programs of their own and not ``multiprocessing``, which would run the caller's main module
again: that may be a notebook, or a script without a guard.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from aiidadb.migration.repository import lister
from aiidadb.migration.repository.read_ahead import ShardAhead

if TYPE_CHECKING:
    from aiidadb.migration.repository.lister import Listed

__all__ = ["ListerProcesses", "useful_number"]

_AT_MOST: Final = 8
_ENDED_WITHIN: Final = 1.0  # seconds
_PYTHON: Final = re.compile(r"pythonw?(\d[\d.]*[dt]*)?(\.exe)?")


class ListerProcesses:
    """Some processes, each of which lists one shard at a time. All calls but :meth:`kill` block.

    Whatever keeps a process from its work, the answer is None, and the caller lists the shard.

    Args:
        nodes: What :func:`~aiidadb.migration.repository.node_folders.nodes_path` gives.
        number: How many.
    """

    def __init__(self, nodes: Path, number: int) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        with contextlib.suppress(OSError):  # the system has no room for more
            for _ in range(number):
                self._processes.append(_start(nodes))
                self._free.put(self._processes[-1])

    def __len__(self) -> int:
        """How many there are."""
        return len(self._processes)

    def list(self, name: str) -> ShardAhead | None:
        """List a shard, and see whether all of its files can be read.

        Any thread may call this, and waits while no process is free.

        Args:
            name: The shard's.

        Returns:
            What was listed; None where something is wrong with the shard, or with the process.
        """
        if not self._processes:
            return None
        process = self._free.get()
        begin = time.monotonic()
        try:
            listed = _ask(process, name)
        except (OSError, EOFError, ValueError, TypeError, OverflowError, MemoryError):
            # It has ended, or something else wrote a greeting, which would be an immense size.
            process.kill()
            return None
        finally:
            self._free.put(process)
        return None if listed is None else ShardAhead.of(name, listed, begin)

    def kill(self) -> None:
        """End them all: whoever waits for one has its answer."""
        for process in self._processes:
            process.kill()

    def close(self) -> None:
        """End them all, when nobody waits for one."""
        self.kill()
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # it was given a name, and did not read it
                    assert pipe is not None
                    pipe.close()
            # One that waits for a file system that does not answer ends when that does.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDED_WITHIN)


def useful_number() -> int:
    """How many processes would be of use on this machine; 0 where they cannot be started."""
    # The executable of another program that has Python within is not Python.
    if _PYTHON.fullmatch(Path(sys.executable or "").name) is None:
        return 0
    # A process begins with the locale of its environment, which may have changed; only UTF-8 can be
    # requested of it. With another encoding it would give files other names than this process does.
    if sys.getfilesystemencoding() != "utf-8":
        return 0
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(count or 1, _AT_MOST)


def _start(nodes: Path) -> subprocess.Popen[bytes]:
    # Isolated, and without the folders of other packages: nothing of the caller's is imported.
    return subprocess.Popen(  # noqa: S603 - the program is our own
        [sys.executable, "-I", "-S", "-X", "utf8", str(Path(lister.__file__)), str(nodes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this process, which ends them
    )


def _ask(process: subprocess.Popen[bytes], name: str) -> Listed | None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{name}\n".encode())
    process.stdin.flush()
    size = int.from_bytes(process.stdout.read(lister.SIZE_BYTES), "little")
    listed: Listed | None = marshal.loads(process.stdout.read(size))  # noqa: S302 - our program's
    return listed
