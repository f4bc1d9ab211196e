"""Files written as objects of a container, each content once, in memory that does not grow."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.repository.pack_writer import hash_of, pieces_of
from aiidadb.migration.repository.thread_results import result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aiidadb.migration.repository.pack_writer import PackWriter

__all__ = ["ObjectWriter", "SmallFile", "read_small"]

# Files up to this size are read whole and kept until a batch of them is written.
_SMALL: Final = 256 * 1024
_KEPT_AT_ONCE: Final = 8 * 1024 * 1024
_OBJECTS_AT_ONCE: Final = 2_000
# Threads read and hash, which needs Python's lock for a small part of the time only, so many files
# together, and so often that beside what is being read little waits in memory.
_READERS: Final = 2
_READ_AT_ONCE: Final = 32
_READ_AHEAD: Final = 4
# A named pipe would otherwise be waited for; Windows has neither it nor the flag.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class SmallFile(NamedTuple):
    """A file that was read whole.

    Attributes:
        key: The object's key, 64 hexadecimal digits.
        content: What is in it.
    """

    key: str
    content: bytes


_Read = tuple[str, SmallFile | None]  # the path of a file; None where it is large


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

    def store(
        self, files: Sequence[str], known: Mapping[str, SmallFile] = MappingProxyType({})
    ) -> list[str]:
        """Write files. They are on the disk once the packs are left, or flushed.

        Args:
            files: Paths of regular files, or of symbolic links to such.
            known: Those that were read already, by their paths.

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
                    waiting.append(_reading(readers, some, known, given_up))
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
        for path, small in result_of(reading, self._interrupted):
            if small is None:
                self._write()
                yield self._store_large(path)
                continue
            if self._packs is not None and small.key not in self._contents:
                self._contents[small.key] = small.content
                self._kept += len(small.content)
                if self._kept >= _KEPT_AT_ONCE or len(self._contents) >= _OBJECTS_AT_ONCE:
                    self._write()
            yield small.key

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


def _reading(
    readers: ThreadPoolExecutor,
    paths: Sequence[str],
    known: Mapping[str, SmallFile],
    given_up: Event,
) -> Future[list[_Read]]:
    """Have files read; of what is known no thread need be asked."""
    if all(path in known for path in paths):
        done: Future[list[_Read]] = Future()
        done.set_result([(path, known[path]) for path in paths])
        return done
    return readers.submit(_read, paths, known, given_up)


def _read(paths: Sequence[str], known: Mapping[str, SmallFile], given_up: Event) -> list[_Read]:
    """Read and hash files; the large ones are left to be read while they are written."""
    found: list[_Read] = []
    for path in paths:
        if given_up.is_set():
            break
        found.append((path, known.get(path) or read_small(path)))
    return found


def read_small(path: str) -> SmallFile | None:
    """Read and hash a file whole. Blocks.

    Args:
        path: Of a regular file, or of a symbolic link to one.

    Returns:
        Its content; None for one that is not small.

    Raises:
        StorageMigrationError: It is not a regular file.
        OSError: It cannot be read.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StorageMigrationError(
                f"{path} is not a regular file, so it has no content to move: remove it and "
                "run again"
            )
        if status.st_size > _SMALL:
            return None
        content = os.read(descriptor, status.st_size + 1)
    finally:
        os.close(descriptor)
    # Where it was not read whole (it changed, or is not on a disk), it is read in pieces.
    if len(content) != status.st_size:
        return None
    return SmallFile(hashlib.sha256(content).hexdigest(), content)


def _changed(path: str) -> StorageMigrationError:
    return StorageMigrationError(
        f"{path} changed while it was read: stop what writes to the repository (AiiDA's daemon) "
        "and run again"
    )
