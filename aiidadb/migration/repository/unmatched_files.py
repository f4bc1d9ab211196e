"""What in a file repository has no counterpart: never ignored silently."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aiidadb.migration.export_file import open_export

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AsyncExitStack
    from pathlib import Path

    from aiidadb.migration.export_file import ExportFile
    from aiidadb.migration.python_step import StepContext

__all__ = ["Mismatches"]

_NAMED_AT_MOST = 3

_SENTENCES: Final = {
    "node_without_folder": "nodes that have no folder in the repository, and therefore no files",
    "folder_without_content": "folders of the repository with neither path nor raw_input, whose "
    "nodes get no files",
    "folder_without_node": "folders of the repository that belong to no node of the database, and "
    "whose files are in the container, where nothing refers to them",
    "no_folder_of_a_node": "what is in the repository and no folder of a node, and was left out",
    "linked_directory": "symbolic links to directories, which count as empty directories, as with "
    "aiida-core",
}


class Mismatches:
    """What has no counterpart: counted, the first few named, and all of it listed in a file."""

    def __init__(self, context: StepContext, stack: AsyncExitStack) -> None:
        self._context = context
        self._stack = stack
        self._export: ExportFile | None = None
        self._found: dict[str, tuple[int, list[str]]] = {}

    async def add(self, what: str, where: Iterable[str]) -> None:
        """Note mismatches of a kind."""
        found = list(where)
        if not found:
            return
        number, first = self._found.get(what, (0, []))
        self._found[what] = (number + len(found), [*first, *found][:_NAMED_AT_MOST])
        lines = [f",\n{json.dumps({what: text})}" for text in found]
        if self._export is None:
            self._export = await self._stack.enter_async_context(
                open_export(self._context, "repository-mismatches", "what has no counterpart")
            )
            lines[0] = f"[{lines[0][1:]}"
        await self._export.write(lines)

    async def publish(self) -> None:
        """Finish the file, if there is anything in it."""
        if self._export is not None:
            await self._export.write(["\n]\n"])
            await self._export.publish()

    def files(self) -> tuple[Path, ...]:
        """The file, if there is one."""
        if self._export is None or self._export.path is None:
            return ()
        return (self._export.path,)

    def notes(self) -> list[str]:
        """A sentence on each kind."""
        listed = "".join(f"; all in {path}" for path in self.files())
        return [
            f"{_SENTENCES[what]}: {number} ({', '.join(first)}"
            f"{', …' if number > len(first) else ''}{listed})"
            for what, (number, first) in self._found.items()
        ]
