"""The file repository of AiiDA 0.x and 1.x: where a node's files are, and what is there.

A node's folder is ``<repository>/repository/node/aa/bb/cccc…``, its uuid cut after the second and
the fourth digit; its files are in ``path`` of that, those of a calculation job in ``raw_input``.
Everything here only reads. The rules are those of aiida-core 2.9.4's step 0047.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from aiidadb.exceptions import StorageMigrationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "SYMBOLS_FILE",
    "Metadata",
    "NodeFolder",
    "Shard",
    "Tree",
    "as_uuid",
    "file_of_node",
    "list_shard",
    "nodes_path",
    "read_tree",
]

_SHARD: Final = re.compile(r"[0-9a-f]{2}")
_FINAL: Final = re.compile(r"[0-9a-f-]{32}")

SYMBOLS_FILE: Final = "symbols.npy"
"""The file of a trajectory's symbols, right in the node's directory."""

Metadata = dict[str, "str | dict[str, Metadata]"]
"""What aiida-core 2.x keeps of a file, ``{"k": hash}``, or a directory, ``{"o": {name: …}}``."""


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """The folder of one node.

    Attributes:
        uuid: The node's.
        content: The directory that holds its files, ``path`` or ``raw_input``.
    """

    uuid: UUID
    content: Path


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of a repository in which the uuids begin with the same two digits.

    Attributes:
        folders: The folders of nodes.
        without_content: Folders that have neither ``path`` nor ``raw_input``.
        strange: What is there beside, and is no node's folder.
    """

    folders: tuple[NodeFolder, ...]
    without_content: tuple[Path, ...]
    strange: tuple[Path, ...]


@dataclass(slots=True)
class Tree:
    """The files of one node.

    Attributes:
        metadata: As aiida-core keeps it; ``k`` of the files is still to be set.
        files: Each file, and the part of the metadata that stands for it.
        linked_directories: Symbolic links to directories, which count as empty directories.
        left_out: How many names were passed over as asked.
    """

    metadata: Metadata = field(default_factory=dict)
    files: list[tuple[Path, Metadata]] = field(default_factory=list)
    linked_directories: list[Path] = field(default_factory=list)
    left_out: int = 0


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


def list_shard(nodes: Path, shard: str) -> Shard:
    """Find the folders of the nodes whose uuids begin with two digits.

    Args:
        nodes: What :func:`nodes_path` gives.
        shard: The two digits, hexadecimal, lower case.

    Returns:
        The folders in the order of their uuids.

    Raises:
        StorageMigrationError: A folder has both ``path`` and ``raw_input`` with something in them,
            so that it is not known which of them are the node's files.
        OSError: A directory cannot be read.
    """
    folders: list[NodeFolder] = []
    without_content: list[Path] = []
    strange: list[Path] = []
    both: list[Path] = []
    top = nodes / shard
    for second in sorted(top.iterdir()) if top.is_dir() else ():
        if not _SHARD.fullmatch(second.name) or not second.is_dir():
            strange.append(second)
            continue
        for last in sorted(second.iterdir()):
            uuid = as_uuid(f"{shard}{second.name}{last.name}") if last.is_dir() else None
            if uuid is None or not _FINAL.fullmatch(last.name):
                strange.append(last)
                continue
            names = {entry.name for entry in last.iterdir()}
            if "path" in names and "raw_input" in names:
                # AiiDA left an empty `path`, or one with a .gitignore, beside `raw_input`.
                if {entry.name for entry in (last / "path").iterdir()} - {".gitignore"}:
                    both.append(last)
                else:
                    folders.append(NodeFolder(uuid, last / "raw_input"))
            elif "path" in names:
                folders.append(NodeFolder(uuid, last / "path"))
            elif "raw_input" in names:
                folders.append(NodeFolder(uuid, last / "raw_input"))
            else:
                without_content.append(last)
    if both:
        raise StorageMigrationError(
            f"node folders of {nodes} with files both in 'path' and in 'raw_input', of which only "
            f"one can be the node's: {len(both)}; delete the wrong one of each and run again: "
            + ", ".join(map(str, both[:10]))
            + (", …" if len(both) > 10 else "")
        )
    return Shard(tuple(folders), tuple(without_content), tuple(strange))


def read_tree(content: Path, leave_out: frozenset[str] = frozenset()) -> Tree:
    """List the files of a node, directories in directories, as aiida-core does.

    Args:
        content: The directory that holds the node's files.
        leave_out: Names right in that directory to pass over.

    Raises:
        StorageMigrationError: A name is not valid UTF-8, so JSON cannot hold it.
        OSError: A directory cannot be read.
    """
    tree = Tree()
    waiting: list[tuple[Path, Metadata]] = [(content, tree.metadata)]
    while waiting:
        directory, metadata = waiting.pop()
        objects: dict[str, Metadata] = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                if directory == content and entry.name in leave_out:
                    tree.left_out += 1
                    continue
                _check_name(directory, entry.name)
                below: Metadata = {}
                objects[entry.name] = below
                if not entry.is_dir():
                    tree.files.append((directory / entry.name, below))
                elif entry.is_symlink():
                    tree.linked_directories.append(directory / entry.name)
                else:
                    waiting.append((directory / entry.name, below))
        if objects:
            metadata["o"] = objects
    return tree


def as_uuid(text: str) -> UUID | None:
    """Read a uuid as AiiDA writes it: lower case, with dashes; None where it is none."""
    try:
        uuid = UUID(text)
    except ValueError:
        return None
    return uuid if str(uuid) == text else None


def _check_name(directory: Path, name: str) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StorageMigrationError(
            f"the name of a file in {directory} is not valid UTF-8, and the database could not "
            f"hold it: rename {os.fsencode(name)!r} and run again"
        ) from error
