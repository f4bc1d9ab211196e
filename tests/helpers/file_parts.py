"""What happens within a file that is being moved into a container: in each part that is read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from aiidadb.migration.repository import (
    container_objects,
    move_files,
    pack_writer,
    read_ahead,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from aiidadb.migration.repository.container_objects import SmallFile

__all__ = ["strike_in_part"]

_NODES_AT_ONCE = 2  # so that some are written while others are still to be read


@contextmanager
def strike_in_part(part: int | None, strike: Callable[[], None]) -> Iterator[list[None]]:
    """Let something happen in a part of a file: a small file, or a piece of a large one.

    Args:
        part: In which, in the order in which they are read, from 0; None for in none.
        strike: What happens, in the thread that has read the part.

    Yields:
        A list that has an entry for each part that was read.
    """
    read: list[None] = []
    read_small, pieces_of = container_objects.read_small, pack_writer.pieces_of

    def count() -> None:
        read.append(None)
        if len(read) - 1 == part:
            strike()

    def small(path: str) -> SmallFile | None:
        found = read_small(path)
        if found is not None:
            count()
        return found

    def pieces(source: BinaryIO, interrupted: Callable[[], None]) -> Iterator[memoryview]:
        for piece in pieces_of(source, interrupted):
            count()
            yield piece

    with (
        mock.patch.object(container_objects, "read_small", small),
        # What is read before the move begins is not part of it, and a matter of time.
        mock.patch.object(read_ahead.ReadAhead, "run"),
        mock.patch.object(pack_writer, "pieces_of", pieces),
        mock.patch.object(move_files, "_NODES_AT_ONCE", _NODES_AT_ONCE),
    ):
        yield read
