"""Files written as objects of a container, each content once, in memory that does not grow."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.repository.container import import_disk_objectstore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["ObjectWriter"]

# Files up to this size are read once and kept until they are written; larger ones are read twice.
_SMALL: Final = 256 * 1024
_KEPT_AT_ONCE: Final = 32 * 1024 * 1024
_CHUNK: Final = 1024 * 1024


class ObjectWriter:
    """Writes files into a container. Everything blocks: call it in a thread.

    The container names an object by the SHA-256 of its content. What it has already is not written
    again, be it from another node or from a run that was stopped; so there are no holes in the
    packs, which aiida-core's own step leaves for files that occur twice.

    Args:
        container: The container's directory; None to read and hash files only.
        interrupted: Called between pieces of work; raises when the work is to be given up.
    """

    def __init__(self, container: Path | None, interrupted: Callable[[], None]) -> None:
        self._container = container
        self._interrupted = interrupted

    def store(self, files: Sequence[Path]) -> list[str]:
        """Write files and flush them to the disk.

        Args:
            files: Regular files, or symbolic links to such.

        Returns:
            The key of each: 64 hexadecimal digits.

        Raises:
            StorageMigrationError: A file is not regular, or changed while it was read.
            OSError: A file cannot be read, or the disk is full.
        """
        keys: list[str] = []
        batch: list[_Source] = []
        kept = 0
        for path in files:
            self._interrupted()
            source = _Source(path, self._interrupted)
            keys.append(source.key)
            batch.append(source)
            kept += source.kept
            if kept >= _KEPT_AT_ONCE:
                self._write(batch)
                batch, kept = [], 0
        self._write(batch)
        return keys

    def _write(self, sources: Sequence[_Source]) -> None:
        # The first file of each content stands for all.
        distinct = {source.key: source for source in reversed(sources)}
        if self._container is None or not distinct:
            return
        disk_objectstore = import_disk_objectstore()
        from sqlalchemy.exc import SQLAlchemyError  # the container's index is a SQLite database

        with disk_objectstore.Container(self._container) as container:
            try:
                known = container.has_objects(list(distinct))
                new = [
                    source
                    for source, there in zip(distinct.values(), known, strict=True)
                    if not there
                ]
                written = container.add_streamed_objects_to_pack(new, open_streams=True)
            except SQLAlchemyError as error:
                raise OSError(f"the container's index cannot be written: {error}") from error
        for source, key in zip(new, written, strict=True):
            if key != source.key:
                raise StorageMigrationError(
                    f"{source.path} changed while it was read: stop what writes to the repository "
                    "(AiiDA's daemon) and run again"
                )


class _Source:
    """A file that is hashed at once, and read again when its content is to be written.

    It is entered as a context manager by the container, one file after the other.
    """

    def __init__(self, path: Path, interrupted: Callable[[], None]) -> None:
        self.path = path
        self.kept = 0
        self._interrupted = interrupted
        self._content: bytes | None = None
        self._handle: BinaryIO | None = None
        status = os.stat(path)  # noqa: PTH116 - before opening: a named pipe would never open
        if not stat.S_ISREG(status.st_mode):
            raise StorageMigrationError(
                f"{path} is no regular file, so it has no content to take along: remove it and "
                "run again"
            )
        digest = hashlib.sha256()
        if status.st_size <= _SMALL:
            self._content = path.read_bytes()
            self.kept = len(self._content)
            digest.update(self._content)
        else:
            with path.open("rb") as handle:
                while chunk := handle.read(_CHUNK):
                    interrupted()
                    digest.update(chunk)
        self.key: str = digest.hexdigest()

    def __enter__(self) -> Self:
        self._handle = self.path.open("rb") if self._content is None else io.BytesIO(self._content)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def read(self, size: int = -1) -> bytes:
        """What a container calls to get the content, piece by piece."""
        assert self._handle is not None
        self._interrupted()
        return self._handle.read(size)
