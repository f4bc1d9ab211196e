"""What is read of an old repository before the move of the files has its turn (0047).

The check before the migration lists all folders, and hands over what it listed. The steps before
the move keep the server busy, and this process waits: meanwhile a thread reads small files, and
lists what was not handed over, shard by shard, as much as memory is set aside for. The move takes
what was listed seconds before, and lists and reads all else when its turn comes. Nothing is
written.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING, Final

from aiidadb.connecting.uninterrupted import clean_up_after, in_thread
from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.repository import lister
from aiidadb.migration.repository.container_objects import read_small
from aiidadb.migration.repository.node_folders import (
    NO_FILES,
    SHARDS,
    Shard,
    Tree,
    nodes_path,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from aiidadb.migration.options import MigrationOptions
    from aiidadb.migration.repository.container_objects import SmallFile
    from aiidadb.migration.repository.lister import Listed

__all__ = ["ReadAhead", "ShardAhead", "list_ahead", "reading_ahead"]

# What is kept at most: folders, of about 1 kB each, names of files, of about half of that, and
# contents of files.
_FOLDERS: Final = 40_000
_FILES: Final = 80_000
_BYTES: Final = 32 * 1024 * 1024
# The move itself takes what it listed seconds before: nothing else may write meanwhile. So it takes
# what was listed as long before it began.
_FRESH: Final = 10.0  # seconds


@dataclass(slots=True)
class ShardAhead:
    """A shard, and what was read of its files.

    Attributes:
        shard: Its folders.
        trees: The files of folders, by the path of their content.
        files: Small files by their paths.
        listed_at: When listing was begun, in seconds of :func:`time.monotonic`.
    """

    shard: Shard
    trees: dict[str, Tree] = field(default_factory=dict)
    files: dict[str, SmallFile] = field(default_factory=dict)
    listed_at: float = field(default_factory=time.monotonic)

    @property
    def is_fresh(self) -> bool:
        """Whether it was listed so lately that it is taken as it is."""
        return time.monotonic() - self.listed_at < _FRESH

    @classmethod
    def of(cls, name: str, listed: Listed, listed_at: float) -> ShardAhead:
        """Name what was listed.

        Args:
            name: The shard's.
            listed: What :func:`~aiidadb.migration.repository.lister.list_with_files` gives.
            listed_at: When listing was begun.
        """
        folders, files = listed
        # Most nodes have no files: one tree will do for all of them.
        trees = dict.fromkeys(folders[0].values(), NO_FILES)
        trees.update((content, Tree(*found)) for content, found in files.items())
        return cls(Shard(name, *folders), trees, listed_at=listed_at)


def list_ahead(
    nodes: Path,
    name: str,
    interrupted: Callable[[], None],
    look_at_file: Callable[[str], None] = lister.leave_alone,
) -> ShardAhead:
    """List the folders of a shard, and the files in each. Blocks.

    Args:
        nodes: What :func:`~aiidadb.migration.repository.node_folders.nodes_path` gives.
        name: The shard's.
        interrupted: Called between pieces of work; raises when the work is to be given up.
        look_at_file: Receives the path of each file.

    Raises:
        StorageMigrationError: As ``list_shard`` and ``read_tree`` there.
        OSError: A directory cannot be read.
    """
    begin = time.monotonic()
    try:
        listed = lister.list_with_files(str(nodes), name, interrupted, look_at_file)
    except lister.CannotBeMovedError as error:
        raise StorageMigrationError(str(error)) from error
    return ShardAhead.of(name, listed, begin)


class _LeftOffError(Exception):
    """There is no more time, or no more memory."""


class ReadAhead:
    """What has been listed and read, in bounded memory. It is taken when reading has ended.

    Args:
        repository: The profile's repository.
    """

    def __init__(self, repository: Path) -> None:
        self._nodes = nodes_path(repository)
        self._shards: dict[str, ShardAhead] = {}
        self._left_off = Event()
        self._reading, self._keeping = Lock(), Lock()
        self._folders = self._files = self._bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether more folders can be kept."""
        return self._folders < _FOLDERS and self._files < _FILES

    def keep(self, listed: ShardAhead) -> bool:
        """Keep a shard that was listed, if there is room; whether there was.

        Any thread may call it.
        """
        files = sum(len(tree.files) for tree in listed.trees.values() if tree is not NO_FILES)
        with self._keeping:
            # A folder may have any number of files.
            is_kept = self.has_room and self._files + files <= _FILES
            if is_kept:
                self._shards[listed.shard.name] = listed
                self._folders += len(listed.trees)
                self._files += files
        return is_kept

    def run(self) -> None:
        """Read until memory is used up, or this is to stop. Blocks."""
        with self._reading, contextlib.suppress(_LeftOffError):
            for name in SHARDS:
                # What cannot be read is left to the step, when it has its turn.
                with contextlib.suppress(OSError, StorageMigrationError):
                    self._read(name)

    def leave_off(self) -> None:
        """Have :meth:`run` end soon."""
        self._left_off.set()

    def take(self, name: str) -> ShardAhead | None:
        """A shard that was listed lately; None where there is none such. Blocks."""
        self.leave_off()
        with self._reading:  # what is being read is read to its end
            found = self._shards.get(name)
        return found if found is not None and found.is_fresh else None

    def _go_on(self) -> None:
        if self._left_off.is_set():
            raise _LeftOffError

    def _read(self, name: str) -> None:
        ahead = self._shards.get(name)
        if ahead is None:
            if not self.has_room:
                raise _LeftOffError
            ahead = list_ahead(self._nodes, name, self._go_on)
            if not self.keep(ahead):
                return
        for tree in ahead.trees.values():
            for path, _ in tree.files:
                if self._bytes >= _BYTES:
                    raise _LeftOffError
                self._go_on()
                small = read_small(path)
                if small is not None:
                    ahead.files[path] = small
                    self._bytes += len(small.content)


@asynccontextmanager
async def reading_ahead(
    options: MigrationOptions, listed: object = None
) -> AsyncIterator[ReadAhead | None]:
    """Read ahead while the body runs, and no longer.

    Args:
        options: How the migration is to be run.
        listed: What the check before the migration has listed, or None.

    Yields:
        What has been read so far; None where there is no repository.
    """
    if options.repository is None:
        yield None
        return
    ahead = listed if isinstance(listed, ReadAhead) else ReadAhead(options.repository)
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
