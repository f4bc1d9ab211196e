"""The file repository of AiiDA 0.x and 1.x: where a node's files are, and what is there.

A node's folder is ``<repository>/repository/node/aa/bb/cccc…``, its uuid cut after the second and
the fourth digit; its files are in ``path`` of that, those of a calculation job in ``raw_input``.
Everything here only reads. The rules are those of aiida-core 2.9.4's step 0047.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import StorageMigrationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "NO_FILES",
    "SHARDS",
    "SYMBOLS_FILE",
    "Metadata",
    "Shard",
    "Tree",
    "file_of_node",
    "list_shard",
    "nodes_path",
    "read_tree",
]

_SHARD: Final = re.compile(r"[0-9a-f]{2}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
"""The names of all shards: the first two digits of uuids."""

SYMBOLS_FILE: Final = "symbols.npy"
"""The file of a trajectory's symbols, right in the node's directory."""

Metadata = dict[str, "str | dict[str, Metadata]"]
"""What aiida-core 2.x keeps of a file, ``{"k": hash}``, or a directory, ``{"o": {name: …}}``."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of a repository in which the uuids begin with the same two digits.

    Attributes:
        name: The two digits.
        folders: The path of the directory that holds a node's files, ``path`` or ``raw_input``, by
            the node's uuid, with dashes, lower case; in the order of the uuids. Text alone: there
            are very many.
        without_content: Folders that have neither ``path`` nor ``raw_input``.
        strange: What else is there, and is not a node's folder.
    """

    name: str
    folders: Mapping[str, str]
    without_content: tuple[Path, ...]
    strange: tuple[Path, ...]


@dataclass(slots=True)
class Tree:
    """The files of one node.

    Attributes:
        metadata: As aiida-core keeps it; ``k`` of the files is still to be set.
        files: The path of each file, and the part of the metadata that stands for it.
        linked_directories: Paths of symbolic links to directories, which count as empty ones.
        left_out: How many names were left out as requested.
    """

    metadata: Metadata = field(default_factory=dict)
    files: list[tuple[str, Metadata]] = field(default_factory=list)
    linked_directories: list[str] = field(default_factory=list)
    left_out: int = 0


NO_FILES: Final = Tree()
"""That of most nodes: one will do for all of them."""


def nodes_path(repository: Path) -> Path:
    """Where the folders of all nodes are.

    Args:
        repository: The directory that the profile's ``repository_uri`` names.
    """
    return repository / "repository" / "node"


def file_of_node(repository: Path, uuid: str, name: str) -> Path:
    """Where a file is that is not a calculation job's.

    Args:
        repository: The directory that the profile's ``repository_uri`` names.
        uuid: The node's, with dashes, lower case.
        name: The file's.
    """
    return nodes_path(repository) / uuid[:2] / uuid[2:4] / uuid[4:] / "path" / name


def _go_on() -> None:
    """What is done between pieces of work, by default."""


def _is_there(path: str) -> bool:
    """What ``os.path.lexists`` is, without the status, which nobody asks for."""
    return os.access(path, os.F_OK, follow_symlinks=False)


def list_shard(
    nodes: Path,
    shard: str,
    interrupted: Callable[[], None] = _go_on,
    is_there: Callable[[str], bool] = _is_there,
) -> Shard:
    """Find the folders of the nodes whose uuids begin with two digits.

    Args:
        nodes: What :func:`nodes_path` gives.
        shard: The two digits, hexadecimal, lower case.
        interrupted: Called between pieces of work; raises when the work is to be given up.
        is_there: Says whether there is the ``path`` of a folder that has no ``raw_input``: almost
            every folder. Who lists it in any case need not ask for it before.

    Returns:
        The folders in the order of their uuids.

    Raises:
        StorageMigrationError: A folder has both ``path`` and ``raw_input`` with something in them,
            so that it is not known which of them are the node's files.
        OSError: A directory cannot be read.
    """
    folders: dict[str, str] = {}
    without_content: list[Path] = []
    strange: list[Path] = []
    both: list[Path] = []
    for second in _sorted_entries(nodes / shard):
        interrupted()
        if not _SHARD.fullmatch(second.name) or not second.is_dir():
            strange.append(Path(second.path))
            continue
        for last in _sorted_entries(second.path):
            uuid = f"{shard}{second.name}{last.name}"
            if not _UUID.fullmatch(uuid) or not last.is_dir():
                strange.append(Path(last.path))
                continue
            contents = _contents_of(last.path, is_there)
            if len(contents) > 1:
                both.append(Path(last.path))
            elif contents:
                folders[uuid] = contents[0]
            else:
                without_content.append(Path(last.path))
    if both:
        raise StorageMigrationError(
            f"node folders of {nodes} with files both in 'path' and in 'raw_input', of which only "
            f"one can be the node's: {len(both)}; delete the wrong one of each and run again: "
            + ", ".join(map(str, both[:10]))
            + (", …" if len(both) > 10 else "")
        )
    return Shard(shard, folders, tuple(without_content), tuple(strange))


def read_tree(content: str | Path, leave_out: frozenset[str] = frozenset()) -> Tree:
    """List the files of a node, directories in directories, as aiida-core does.

    Args:
        content: The directory that holds the node's files.
        leave_out: Names right in that directory to leave out.

    Raises:
        StorageMigrationError: A name is not valid UTF-8, so JSON cannot hold it.
        OSError: A directory cannot be read.
    """
    tree = Tree()
    waiting: list[tuple[str, Metadata]] = [(str(content), tree.metadata)]
    while waiting:
        directory, metadata = waiting.pop()
        objects: dict[str, Metadata] = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                if name in leave_out:
                    tree.left_out += 1
                    continue
                _check_name(directory, name)
                below: Metadata = {}
                objects[name] = below
                if not entry.is_dir():
                    tree.files.append((entry.path, below))
                elif entry.is_symlink():
                    tree.linked_directories.append(entry.path)
                else:
                    waiting.append((entry.path, below))
        leave_out = frozenset()  # names in the directories below are none of those
        if objects:
            metadata["o"] = objects
    return tree


def _sorted_entries(directory: str | Path) -> list[os.DirEntry[str]]:
    """What is in a directory, by name; nothing where there is none."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _contents_of(folder: str, is_there: Callable[[str], bool]) -> list[str]:
    """The directories that may hold a node's files; two where both hold some."""
    # Joined as text, and checked for two names instead of listed: there are very many.
    path, raw_input = f"{folder}{os.sep}path", f"{folder}{os.sep}raw_input"
    if not _is_there(raw_input):
        return [path] if is_there(path) else []
    # AiiDA left an empty `path`, or one with a .gitignore, beside `raw_input`.
    if not _is_there(path) or not _has_files(path):
        return [raw_input]
    return [path, raw_input] if _has_files(raw_input) else [path]


def _has_files(content: str) -> bool:
    """Whether there is a file in a directory or below it: directories alone are nothing."""
    waiting = [content]
    while waiting:
        directory = waiting.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif not entry.is_dir() and (directory != content or entry.name != ".gitignore"):
                    return True
    return False


def _check_name(directory: str, name: str) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StorageMigrationError(
            f"the name of a file in {directory} is not valid UTF-8, and the database could not "
            f"hold it: rename {os.fsencode(name)!r} and run again"
        ) from error
