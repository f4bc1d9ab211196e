"""Objects appended without gaps to the packs of a container that no other process writes to.

The container's own way into its packs reads each file through several layers, asks for the size of
the pack before every object, and leaves what was written twice, or by a process that was killed, as
a hole that only repacking removes. Here whole batches are written in one go. What the index does
not know is cut off: of a killed process when the packs are opened, of a failed one at its end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from aiidadb.migration.repository.container import import_disk_objectstore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

__all__ = ["PackWriter"]

_CHUNK: Final = 1024 * 1024
# How much is flushed to the disk, and then known to the index, together: a process that is killed
# loses as much.
_BYTES_AT_ONCE: Final = 256 * 1024 * 1024
_OBJECTS_AT_ONCE: Final = 50_000
# Keys come in no order, so the pages of an index that is larger than this are read again and again.
_INDEX_MEMORY: Final = 32 * 1024  # kB

_ENDS: Final = "select pack_id, max(offset + length) from db_object group by pack_id"
_KNOWN: Final = "select hashkey from db_object where hashkey in (select value from json_each(?))"
_ADD: Final = """
    insert into db_object (hashkey, compressed, size, offset, length, pack_id)
    values (?, false, ?, ?, ?, ?)
"""

_Row = tuple[str, int, int, int, int]


class PackWriter:
    """Appends objects to the packs of a container. Everything blocks: call it in a thread.

    It is used as a context manager, by one thread at a time. Left without an error, all objects are
    on the disk and in the index; left with one, nothing of those after the last flush is there.

    Args:
        container: The container's directory. Nothing else may write to it meanwhile.
    """

    def __init__(self, container: Path) -> None:
        self._packs = container / "packs"
        self._place = container
        self._number = -1
        self._end = self._flushed = self._objects = 0
        self._stack = contextlib.ExitStack()
        self._pack = contextlib.ExitStack()
        self._handle: BinaryIO

    def __enter__(self) -> Self:
        disk_objectstore = import_disk_objectstore()
        with self._stack, _as_os_error():
            self._container = self._stack.enter_context(disk_objectstore.Container(self._place))
            self._target = self._container.pack_size_target
            # Its file names how it is written: ahead to a log, which readers see immediately.
            self._index = self._stack.enter_context(
                contextlib.closing(
                    sqlite3.connect(
                        self._place / "packs.idx", isolation_level=None, check_same_thread=False
                    )
                )
            )
            self._index.execute(f"pragma cache_size = -{_INDEX_MEMORY}")
            self._index.execute("begin immediate")
            self._cut_off_what_is_not_known(dict(self._index.execute(_ENDS)))
            self._open_pack()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is not None:
                self._give_up()
                return
            try:
                self.flush()
                self._pack.close()
            except BaseException:
                self._give_up()
                raise

    def add(self, contents: Mapping[str, bytes]) -> None:
        """Append small objects, as far as they are not there.

        Args:
            contents: Their contents by their keys.

        Raises:
            OSError: The disk is full, or failed.
        """
        known = self._known(contents)
        rows: list[_Row] = []
        pieces: list[bytes] = []
        for key, content in contents.items():
            if key in known:
                continue
            if self._end >= self._target:
                self._write(pieces, rows)
                self._open_next_pack()
                rows, pieces = [], []
            rows.append(self._row(key, len(content)))
            pieces.append(content)
            self._end += len(content)
        self._write(pieces, rows)

    def add_stream(self, source: BinaryIO, interrupted: Callable[[], None]) -> tuple[str, int]:
        """Append an object of any size while it is read, and take it back if it is there already.

        Args:
            source: What to read, in the unbuffered form of :class:`io.FileIO`.
            interrupted: Called between pieces of work; raises when the work is to be given up.

        Returns:
            The object's key, and its size in bytes.

        Raises:
            OSError: It cannot be read; the disk is full, or failed.
        """
        if self._end >= self._target:
            self._open_next_pack()
        size = 0

        def appended() -> Iterator[memoryview]:
            nonlocal size
            for piece in pieces_of(source, interrupted):
                self._handle.write(piece)
                size += len(piece)
                yield piece

        key = hash_of(appended())
        if self._known([key]):
            self._handle.truncate(self._end)
        else:
            row = self._row(key, size)
            self._end += size
            self._write([], [row])
        return key, size

    def flush(self) -> None:
        """Bring all that was added to the disk, the contents before the index.

        Raises:
            OSError: The disk is full, or failed.
        """
        from disk_objectstore.utils import safe_flush_to_disk

        with _as_os_error():
            if self._end > self._flushed:
                safe_flush_to_disk(self._handle, self._packs / str(self._number), use_fullsync=True)
            self._index.execute("commit")
            self._index.execute("begin immediate")
        self._flushed = self._end
        self._objects = 0

    def _write(self, pieces: list[bytes], rows: list[_Row]) -> None:
        if not rows:
            return
        self._handle.write(b"".join(pieces))
        with _as_os_error():
            self._index.executemany(_ADD, rows)
        self._objects += len(rows)
        if self._end - self._flushed >= _BYTES_AT_ONCE or self._objects >= _OBJECTS_AT_ONCE:
            self.flush()

    def _row(self, key: str, size: int) -> _Row:
        """What the index is to have of an object that comes next."""
        return key, size, self._end, size, self._number

    def _known(self, keys: Collection[str]) -> set[str]:
        with _as_os_error():
            return {key for (key,) in self._index.execute(_KNOWN, (json.dumps(list(keys)),))}

    def _open_next_pack(self) -> None:
        self.flush()
        self._pack.close()
        self._open_pack()

    def _open_pack(self) -> None:
        """Open the first pack that has room, or a new one."""
        while True:
            self._number += 1
            path = self._packs / str(self._number)
            self._end = self._flushed = path.stat().st_size if path.exists() else 0
            if self._end < self._target:
                break
        self._handle = self._pack.enter_context(self._container.lock_pack(str(self._number)))

    def _cut_off_what_is_not_known(self, ends: Mapping[int, int]) -> None:
        for path in self._packs.iterdir():
            if path.name.isdecimal() and path.stat().st_size > (end := ends.get(int(path.name), 0)):
                os.truncate(path, end)

    def _give_up(self) -> None:
        """Take back what was added since the last flush; the next run does what fails here."""
        with contextlib.suppress(OSError), _as_os_error():
            self._index.execute("rollback")
        with contextlib.suppress(OSError):
            self._pack.close()
        with contextlib.suppress(OSError):
            os.truncate(self._packs / str(self._number), self._flushed)


def pieces_of(source: BinaryIO, interrupted: Callable[[], None]) -> Iterator[memoryview]:
    """The content of a file, piece by piece, each to be used before the next is asked for."""
    space = memoryview(bytearray(_CHUNK))
    while number := source.readinto(space):  # type: ignore[attr-defined]
        interrupted()
        yield space[:number]


def hash_of(pieces: Iterator[memoryview]) -> str:
    """The key of an object: the SHA-256 of its content, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """The container's index is a SQLite database: what fails there is the disk."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"the container's index cannot be written: {error}") from error
