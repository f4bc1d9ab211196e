"""The file repository of AiiDA 0.x and 1.x: where a node's files are, and what is there.

A node's folder is ``<repository>/repository/node/aa/bb/cccc…``, its uuid cut after the second and
the fourth digit; its files are in ``path`` of that, those of a calculation job in ``raw_input``.
Everything here only reads. The rules are those of aiida-core 2.9.4's step 0047.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.repository import lister

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "NO_FILES",
    "SHARDS",
    "SYMBOLS_FILE",
    "Metadata",
    "Shard",
    "Tree",
    "file_of_node",
    "has_folder_of",
    "list_shard",
    "nodes_path",
    "read_tree",
]

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
        without_content: Paths of folders that have neither ``path`` nor ``raw_input``.
        strange: Paths of what else is there, and is not a node's folder.
    """

    name: str
    folders: Mapping[str, str]
    without_content: Sequence[str]
    strange: Sequence[str]


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


def has_folder_of(nodes: Path, uuids: Iterable[str]) -> bool:
    """Whether one of some nodes has a folder with ``path`` or ``raw_input``. Blocks.

    Args:
        nodes: What :func:`nodes_path` gives.
        uuids: The nodes' uuids, without dashes, lower case.

    Returns:
        True also where a folder cannot be looked at: what is in it is not known.
    """
    for uuid in uuids:
        rest = "-".join((uuid[4:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]))
        for content in ("path", "raw_input"):
            try:
                os.lstat(f"{nodes}/{uuid[:2]}/{uuid[2:4]}/{rest}/{content}")
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                return True
            return True
    return False


def list_shard(nodes: Path, shard: str, interrupted: Callable[[], None] = lister.go_on) -> Shard:
    """Find the folders of the nodes whose uuids begin with two digits.

    Args:
        nodes: What :func:`nodes_path` gives.
        shard: The two digits, hexadecimal, lower case.
        interrupted: Called between pieces of work; raises when the work is to be given up.

    Raises:
        StorageMigrationError: A folder has both ``path`` and ``raw_input`` with something in them,
            so that it is not known which of them are the node's files.
        OSError: A directory cannot be read.
    """
    try:
        return Shard(shard, *lister.list_folders(str(nodes), shard, interrupted))
    except lister.CannotBeMovedError as error:
        raise StorageMigrationError(str(error)) from error


def read_tree(content: str | Path, leave_out: frozenset[str] = frozenset()) -> Tree:
    """List the files of a node, directories in directories, as aiida-core does.

    Args:
        content: The directory that holds the node's files.
        leave_out: Names right in that directory to leave out.

    Raises:
        StorageMigrationError: A name is not valid UTF-8, or directories are nested too deep, so
            that JSON cannot hold them.
        OSError: A directory cannot be read.
    """
    try:
        return Tree(*lister.list_files(str(content), leave_out))
    except lister.CannotBeMovedError as error:
        raise StorageMigrationError(str(error)) from error
