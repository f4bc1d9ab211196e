"""What is read of an old repository while the steps before the move of the files run (0047).

Those steps keep the server busy, and this process waits: meanwhile a thread lists folders and reads
small files, shard by shard, as much as memory is set aside for. What was read more than a few
seconds ago the move takes only if nothing of it has changed since: the status of each directory and
each file is read then. What has changed, or was not read ahead, is read when its turn comes.
Nothing is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING, Final

from aiidadb.connecting.uninterrupted import clean_up_after, in_thread
from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.repository.container_objects import read_small
from aiidadb.migration.repository.node_folders import (
    NO_FILES,
    SHARDS,
    list_shard,
    nodes_path,
    read_tree,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiidadb.migration.options import MigrationOptions
    from aiidadb.migration.repository.container_objects import SmallFile
    from aiidadb.migration.repository.node_folders import Shard, Tree

__all__ = ["ReadAhead", "ShardAhead", "reading_ahead"]

# What is kept at most: folders, of about 1 kB each, and contents of files.
_FOLDERS = 40_000
_BYTES = 32 * 1024 * 1024
# The move itself takes what it listed seconds before: nothing else may write meanwhile. So it takes
# what was read as long before it began.
_FRESH = 5.0  # seconds
# What was written a moment before it was read may be written again without a later time: some file
# systems count in steps of two seconds.
_MOMENT: Final = 2_500_000_000  # nanoseconds


class _JustWrittenError(Exception):
    """It may be written again within the same tick of the file system's clock."""


@dataclass(slots=True)
class ShardAhead:
    """A shard, and what was read of its files.

    Attributes:
        shard: Its folders.
        trees: The files of folders, by the path of their content.
        files: Small files by their paths.
        marks: By what one sees that a directory or file of it has changed, by their paths.
        read_at: When it was begun, in seconds of :func:`time.monotonic`.
    """

    shard: Shard
    trees: dict[str, Tree] = field(default_factory=dict)
    files: dict[str, SmallFile] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    read_at: float = field(default_factory=time.monotonic)

    def is_as_it_was(self) -> bool:
        """Whether nothing has changed since it was read, or that was just now. Blocks."""
        if time.monotonic() - self.read_at < _FRESH:
            return True
        try:
            return all(_mark(_status(path)) == mark for path, mark in self.marks.items())
        except OSError:
            return False


class ReadAhead:
    """Reads ahead in one thread; what it has read is taken when it has ended.

    Args:
        repository: The profile's repository.
    """

    def __init__(self, repository: Path) -> None:
        self._nodes = nodes_path(repository)
        self._shards: dict[str, ShardAhead] = {}
        self._left_off = Event()
        self._reading = Lock()
        self._folders = self._bytes = 0

    def run(self) -> None:
        """Read until memory is used up, or this is to stop. Blocks."""
        with self._reading:
            for name in SHARDS:
                if self._is_over:
                    return
                # What cannot be read is left to the step, when it has its turn.
                with contextlib.suppress(OSError, StorageMigrationError, _JustWrittenError):
                    self._read(name)

    def leave_off(self) -> None:
        """Have :meth:`run` end soon."""
        self._left_off.set()

    def take(self, name: str) -> ShardAhead | None:
        """A shard that was read and is as it was; None where there is none such. Blocks."""
        self.leave_off()
        with self._reading:  # what is being read is read to its end
            found = self._shards.get(name)
        return found if found is not None and found.is_as_it_was() else None

    @property
    def _is_over(self) -> bool:
        return self._left_off.is_set() or self._folders >= _FOLDERS or self._bytes >= _BYTES

    def _read(self, name: str) -> None:
        read_at = time.monotonic()
        marks: dict[str, int] = {}

        def mark(path: str) -> None:
            """Note how it is, before it is read."""
            status = _status(path)
            if status.st_mtime_ns > time.time_ns() - _MOMENT:
                raise _JustWrittenError
            marks[path] = _mark(status)

        mark(str(self._nodes))  # for a shard that is not there yet
        ahead = ShardAhead(list_shard(self._nodes, name, mark), marks=marks, read_at=read_at)
        for content in ahead.shard.folders.values():
            if self._is_over:
                return
            tree = read_tree(content, before=mark)
            # Most nodes have no files: one tree will do for all of them.
            ahead.trees[content] = tree if tree.metadata else NO_FILES
            self._folders += 1
            for path, _ in tree.files:
                if self._is_over:
                    return
                mark(path)
                small = read_small(path)
                if small is not None:
                    ahead.files[path] = small
                    self._bytes += len(small.content)
        self._shards[name] = ahead


def _status(path: str) -> os.stat_result:
    return os.stat(path)  # noqa: PTH116 - paths are text: there are very many


def _mark(status: os.stat_result) -> int:
    return hash((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@asynccontextmanager
async def reading_ahead(options: MigrationOptions) -> AsyncIterator[ReadAhead | None]:
    """Read ahead while the body runs, and no longer.

    Args:
        options: How the migration is to be run.

    Yields:
        What has been read so far; None where there is no repository.
    """
    if options.repository is None:
        yield None
        return
    ahead = ReadAhead(options.repository)
    reading = asyncio.ensure_future(in_thread(ahead.run))

    async def end() -> None:
        ahead.leave_off()
        await asyncio.wait((reading,))
        if not reading.cancelled():
            reading.result()

    try:
        yield ahead
    except BaseException as error:
        await clean_up_after(error, end(), within=None)
        raise
    await end()
