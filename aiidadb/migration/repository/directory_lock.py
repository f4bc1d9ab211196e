"""A lock on a directory, which keeps out a process that the database's lock no longer does."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["lock_directory"]


@contextlib.contextmanager
def lock_directory(directory: Path) -> Iterator[bool]:
    """Hold a lock on a directory, which ends with the process that holds it.

    Args:
        directory: The directory; it must exist.

    Yields:
        False where another process holds it. True otherwise, also where the file system has no
        locks.

    Raises:
        OSError: The directory cannot be opened.
    """
    if fcntl is None:
        yield True
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        except OSError:
            yield True
        else:
            yield True
    finally:
        os.close(descriptor)
