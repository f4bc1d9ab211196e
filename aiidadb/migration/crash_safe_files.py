"""Files that survive a crash: written aside, flushed to the disk, then renamed atomically."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NewFile", "may_be_written", "replace_file", "sync_directory"]

# What file systems without hard links answer to `link`.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}


def sync_directory(directory: Path) -> None:
    """Flush the entries of a directory to the disk, so that new names in it survive a power cut.

    Args:
        directory: The directory.

    Raises:
        OSError: It cannot be opened or flushed.
    """
    if os.name != "posix":  # elsewhere a directory cannot be opened; the file's own flush must do
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def may_be_written(directory: Path) -> bool:
    """Whether this process may make files in a directory, or make the directory. Blocks."""
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def replace_file(path: Path, text: str) -> None:
    """Write a small text file so that a reader finds the old content or the new, never a part.

    Args:
        path: The file; it is replaced where it exists.
        text: Its content, written in UTF-8.

    Raises:
        OSError: It cannot be written; the old content is untouched.
    """
    aside = path.with_name(f"{path.name}.part")
    with aside.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    aside.replace(path)
    sync_directory(path.parent)


class NewFile:
    """A text file that appears whole, under a name that nothing has, or not at all.

    The text goes to a file whose name ends in ``.part``. :meth:`publish` flushes it to the disk
    and gives it its name; a file that has that name already is never overwritten.

    Args:
        directory: Where; it is made where it is missing.
        prefix: How the name begins. UTC time and a random part follow it.
        suffix: How it ends, with the dot.
    """

    def __init__(self, directory: Path, prefix: str, suffix: str = ".json") -> None:
        self._directory = directory
        self._prefix = prefix
        self._suffix = suffix
        self._aside: Path | None = None
        self._handle: TextIO | None = None

    def open(self) -> None:
        """Begin the file.

        Raises:
            OSError: The directory cannot be made or written.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        aside = self._directory / f"{self._new_name()}.part"
        self._handle = aside.open("x", encoding="utf-8", newline="\n")
        self._aside = aside

    def write(self, text: str) -> None:
        """Append text.

        Raises:
            OSError: The disk is full, or failed.
        """
        assert self._handle is not None
        self._handle.write(text)

    def publish(self) -> Path:
        """Flush the file and its directory to the disk, and give it its name.

        Returns:
            The file, absolute.

        Raises:
            OSError: The disk is full, or failed.
        """
        assert self._handle is not None
        assert self._aside is not None
        self._handle.flush()
        os.fsync(self._handle.fileno())
        self._handle.close()
        final = self._give_name(self._aside)
        self._aside = None
        sync_directory(self._directory)
        return final.absolute()

    def discard(self) -> None:
        """Remove what was written, if it was not published; otherwise do nothing."""
        if self._handle is not None:
            # On a full disk closing fails as well, for what is still in the buffer.
            with contextlib.suppress(OSError):
                self._handle.close()
        if self._aside is not None:
            self._aside.unlink(missing_ok=True)
            self._aside = None

    def _give_name(self, aside: Path) -> Path:
        while True:
            final = self._directory / self._new_name()
            try:
                os.link(aside, final)  # unlike a rename, it never overwrites
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if final.exists():
                    continue
                aside.rename(final)
            else:
                aside.unlink()
            return final

    def _new_name(self) -> str:
        now = datetime.now(UTC)
        return f"{self._prefix}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}{self._suffix}"
