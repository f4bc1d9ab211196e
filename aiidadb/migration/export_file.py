"""The files that a step writes because something leaves the database, or must be looked at."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import chain
from typing import TYPE_CHECKING

from anyio import to_thread

from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.crash_safe_files import NewFile, may_be_written
from aiidadb.migration.python_step import PythonStep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path
    from typing import TypeVar

    from aiidadb.migration.python_step import StepContext, StepOutcome

    T = TypeVar("T")

__all__ = ["ExportFile", "check_export_directory", "exporting_step", "open_export"]


class ExportFile:
    """A file of a step, written in threads; in a dry run nothing is written.

    Made by :func:`open_export`.

    Attributes:
        path: The file, once it is published; None before, and in a dry run for good.
    """

    def __init__(self, file: NewFile | None, directory: Path, content: str) -> None:
        self._file = file
        self._directory = directory
        self._content = content
        self._added: list[str] = []
        self.path: Path | None = None

    def add(self, piece: str) -> None:
        """Append a short text; it is written with what is written next, or at the end."""
        self._added.append(piece)

    async def write(self, pieces: Iterable[str]) -> None:
        """Append pieces of text.

        Args:
            pieces: May be a generator that encodes: it is run in the thread.

        Raises:
            StorageMigrationError: They could not be written.
        """

        def write_all() -> None:
            for piece in chain(self._added, pieces):
                if self._file is not None:
                    self._file.write(piece)
            self._added.clear()

        await self._in_thread(write_all)

    async def publish(self) -> None:
        """Flush the file to the disk and give it its name.

        Raises:
            StorageMigrationError: That failed, and there is no such file.
        """
        file = self._file
        if file is None:
            return

        def finish() -> Path:
            for piece in self._added:
                file.write(piece)
            return file.publish()

        self.path = await self._in_thread(finish)

    async def begin(self) -> None:
        """Make the file, under a name aside.

        Raises:
            StorageMigrationError: The directory cannot be made or written.
        """
        if self._file is not None:
            await self._in_thread(self._file.open)

    async def discard(self) -> None:
        """Remove what was written and not published."""
        if self._file is not None and self.path is None:
            # A cancelled step cleans up as well.
            await in_thread(self._file.discard)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        try:
            return await in_thread(function)
        except OSError as error:
            raise StorageMigrationError(
                f"{self._content} could not be written to {self._directory}: "
                f"{error.strerror or error}; nothing was removed from the database: free some "
                "space or grant rights there, or give another export directory, and run again"
            ) from error


@asynccontextmanager
async def open_export(context: StepContext, prefix: str, content: str) -> AsyncIterator[ExportFile]:
    """Open a new file in the export directory; left without ``publish``, it is gone again.

    Args:
        context: The step's context.
        prefix: How the file's name begins.
        content: What is written, for messages: ``"3 logs"``.

    Raises:
        StorageMigrationError: The directory cannot be made or written.
    """
    directory = context.options.export_directory
    file = None if context.options.dry_run else NewFile(directory, prefix)
    export = ExportFile(file, directory, content)
    try:
        await export.begin()
        yield export
    finally:
        await export.discard()


async def check_export_directory(context: StepContext) -> None:
    """Refuse a directory for exports that cannot be written. Only reads; not asked in a dry run.

    Args:
        context: The step's context.

    Raises:
        StorageMigrationError: It cannot be written.
    """
    directory = context.options.export_directory
    if not context.options.dry_run and not await to_thread.run_sync(may_be_written, directory):
        raise StorageMigrationError(
            "what leaves the database, or has no counterpart in it, is written to files first, and "
            f"{directory} cannot be written: give another export directory; nothing was changed"
        )


def exporting_step(name: str, run: Callable[[StepContext], Awaitable[StepOutcome]]) -> PythonStep:
    """A step that writes files, and is refused where it could not.

    Args:
        name: The name that files call it by.
        run: Does it.
    """
    return PythonStep(name, run, check_export_directory, finding="export_directory")
