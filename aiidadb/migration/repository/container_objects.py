"""Files written as objects of a container, each content once, in memory that does not grow."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.repository.pack_writer import hash_of, pieces_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aiidadb.migration.repository.pack_writer import PackWriter

__all__ = ["ObjectWriter"]

# Files up to this size are read at once and kept until a batch of them is written.
_SMALL: Final = 256 * 1024
_KEPT_AT_ONCE: Final = 8 * 1024 * 1024
_OBJECTS_AT_ONCE: Final = 2_000
# Threads read and hash, which needs Python's lock for a small part of the time only, so many files
# at once, and so often that beside what is being read little waits in memory.
_READERS: Final = 2
_READ_AT_ONCE: Final = 32
_READ_AHEAD: Final = 4
_ASKED_EVERY: Final = 0.1  # seconds
# The path of a file, its key and its content; these are empty and None where it is large.
_Read = tuple[str, str, "bytes | None"]
# A named pipe would otherwise be waited for; Windows has neither it nor the flag.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class ObjectWriter:
    """Writes files into a container. Everything blocks: call it in a thread.

    The container names an object by the SHA-256 of its content. What it has already is not written
    again, be it from another node or from a run that was stopped; so there are no holes in the
    packs, which aiida-core's own step leaves for files that occur twice. Each file is read once.

    Args:
        packs: The container's packs, entered; None to read and hash files only.
        interrupted: Called between pieces of work; raises when the work is to be given up.
    """

    def __init__(self, packs: PackWriter | None, interrupted: Callable[[], None]) -> None:
        self._packs = packs
        self._interrupted = interrupted
        self._contents: dict[str, bytes] = {}
        self._kept = 0

    def store(self, files: Sequence[str]) -> list[str]:
        """Write files. They are on the disk once the packs are left, or flushed.

        Args:
            files: Paths of regular files, or of symbolic links to such.

        Returns:
            The key of each: 64 hexadecimal digits.

        Raises:
            StorageMigrationError: A file is not regular, or changed while it was read.
            OSError: A file cannot be read, or the disk is full.
        """
        keys: list[str] = []
        given_up = Event()
        waiting: deque[Future[list[_Read]]] = deque()
        with ThreadPoolExecutor(_READERS) as readers:
            try:
                for first in range(0, len(files), _READ_AT_ONCE):
                    some = files[first : first + _READ_AT_ONCE]
                    waiting.append(readers.submit(_read, some, given_up))
                    if len(waiting) == _READ_AHEAD:
                        keys += self._keep(waiting.popleft())
                while waiting:
                    keys += self._keep(waiting.popleft())
            except BaseException:
                given_up.set()
                raise
        self._write()
        return keys

    def _keep(self, reading: Future[list[_Read]]) -> Iterator[str]:
        """Take what a thread has read; the key of each file."""
        self._interrupted()
        while not wait((reading,), timeout=_ASKED_EVERY).done:
            self._interrupted()
        for path, key, content in reading.result():
            if content is None:
                self._write()
                yield self._store_large(path)
                continue
            if self._packs is not None and key not in self._contents:
                self._contents[key] = content
                self._kept += len(content)
                if self._kept >= _KEPT_AT_ONCE or len(self._contents) >= _OBJECTS_AT_ONCE:
                    self._write()
            yield key

    def _store_large(self, path: str) -> str:
        with open(path, "rb", buffering=0) as source:  # noqa: PTH123 - as all the others
            before = os.fstat(source.fileno())
            if self._packs is None:
                return hash_of(pieces_of(source, self._interrupted))
            key, size = self._packs.add_stream(source, self._interrupted)
            after = os.fstat(source.fileno())
        if (size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise _changed(path)
        return key

    def _write(self) -> None:
        if self._packs is not None and self._contents:
            self._packs.add(self._contents)
        self._contents = {}
        self._kept = 0


def _read(paths: Sequence[str], given_up: Event) -> list[_Read]:
    """Read and hash files; the large ones are left to be read while they are written."""
    found = []
    for path in paths:
        if given_up.is_set():
            break
        content = _content(path)
        key = "" if content is None else hashlib.sha256(content).hexdigest()
        found.append((path, key, content))
    return found


def _content(path: str) -> bytes | None:
    """What is in a regular file; None for one that is not small."""
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StorageMigrationError(
                f"{path} is not a regular file, so it has no content to take along: remove it and "
                "run again"
            )
        if status.st_size > _SMALL:
            return None
        content = os.read(descriptor, status.st_size + 1)
    finally:
        os.close(descriptor)
    # Where it was not read at once (it changed, or is not on a disk), it is read in pieces.
    return content if len(content) == status.st_size else None


def _changed(path: str) -> StorageMigrationError:
    return StorageMigrationError(
        f"{path} changed while it was read: stop what writes to the repository (AiiDA's daemon) "
        "and run again"
    )
