"""Lists the folders of nodes and the files in them: functions, and a program that calls them.

Threads cannot list directories side by side, as each takes Python's lock again after every system
call; processes can. The program imports only what Python has loaded at its own start, so that
it begins within ten milliseconds: hence tuples, which
:mod:`aiidadb.migration.repository.node_folders` gives names, and no regular expressions.

The program is called with the directory of all nodes. It reads the name of a shard from each line
of its input, and writes the length of its answer, in 8 bytes, and the answer: what
:func:`list_with_files` gives where all files can be read, or None where that raises.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from aiidadb.migration.repository.node_folders import Metadata

    Folders = tuple[dict[str, str], list[str], list[str]]
    Files = tuple[Metadata, list[tuple[str, Metadata]], list[str], int]
    Listed = tuple[Folders, dict[str, Files]]

__all__ = [
    "LEVELS_AT_MOST",
    "SIZE_BYTES",
    "CannotBeMovedError",
    "go_on",
    "leave_alone",
    "list_files",
    "list_folders",
    "list_with_files",
    "may_read",
    "require_readable_file",
]

SIZE_BYTES = 8
"""How many bytes the length of an answer has."""

LEVELS_AT_MOST = 450
"""How deep the directories of a node can be nested.

AiiDA keeps them as JSON, in two levels for each directory, and up to version 3.11 Python reads and
writes no more than 1,000 levels, less the calls that lead there: 100 are left for these.
"""

_DIGITS = "0123456789abcdef"
_NAMED_AT_MOST = 10


class CannotBeMovedError(Exception):
    """What is there cannot be moved; the message says what to do."""


def go_on() -> None:
    """What is done between pieces of work, by default."""


def leave_alone(_path: str) -> None:
    """What is done with a file, by default."""


def is_there(path: str) -> bool:
    """What ``os.path.lexists`` is, without the status, which nobody asks for."""
    return os.access(path, os.F_OK, follow_symlinks=False)


def list_folders(
    nodes: str,
    shard: str,
    interrupted: Callable[[], None] = go_on,
    has_path: Callable[[str], bool] = is_there,
) -> Folders:
    """Find the folders of the nodes whose uuids begin with two digits.

    Args:
        nodes: The directory of all nodes.
        shard: The two digits, hexadecimal, lower case.
        interrupted: Called between pieces of work; raises when the work is to be given up.
        has_path: Says whether a folder without ``raw_input``, as almost all are, has the ``path``
            that it is given. A caller that lists every ``path`` finds out by doing so.

    Returns:
        The directories of the nodes' files by uuid, in the order of the uuids; folders without such
        a directory; and what is not a node's folder.

    Raises:
        CannotBeMovedError: A folder has both ``path`` and ``raw_input`` with something in them,
            so that it is not known which of them are the node's files.
        OSError: A directory cannot be read.
    """
    folders: dict[str, str] = {}
    without_content: list[str] = []
    strange: list[str] = []
    both: list[str] = []
    for second in _sorted_entries(f"{nodes}{os.sep}{shard}"):
        interrupted()
        if len(second.name) != 2 or second.name.strip(_DIGITS) or not second.is_dir():
            strange.append(second.path)
            continue
        for last in _sorted_entries(second.path):
            uuid = f"{shard}{second.name}{last.name}"
            if not _is_uuid(uuid) or not last.is_dir():
                strange.append(last.path)
                continue
            contents = _contents_of(last.path, has_path)
            if len(contents) > 1:
                both.append(last.path)
            elif contents:
                folders[uuid] = contents[0]
            else:
                without_content.append(last.path)
    if both:
        raise CannotBeMovedError(
            f"node folders of {nodes} with files both in 'path' and in 'raw_input', of which only "
            f"one can be the node's: {len(both)}; delete the wrong one of each and run again: "
            + ", ".join(both[:_NAMED_AT_MOST])
            + (", …" if len(both) > _NAMED_AT_MOST else "")
        )
    return folders, without_content, strange


def list_files(content: str, leave_out: frozenset[str] = frozenset()) -> Files:
    """List the files of a node, directories in directories, as aiida-core does.

    Args:
        content: The directory that holds the node's files.
        leave_out: Names right in that directory to leave out.

    Returns:
        What the attributes of :class:`~aiidadb.migration.repository.node_folders.Tree` are.

    Raises:
        CannotBeMovedError: A name is not valid UTF-8, so JSON cannot hold it; or the directories
            are nested more than :data:`LEVELS_AT_MOST` deep.
        OSError: A directory cannot be read.
    """
    metadata: Metadata = {}
    files: list[tuple[str, Metadata]] = []
    linked_directories: list[str] = []
    left_out = 0
    waiting = [(content, metadata, 0)]
    while waiting:
        directory, here, level = waiting.pop()
        if level > LEVELS_AT_MOST:
            raise CannotBeMovedError(
                f"the directories in {content} are nested more than {LEVELS_AT_MOST} levels deep, "
                "too deep for AiiDA, which keeps them as JSON: pack the inner ones into an "
                "archive, such as a .tar file, and run again"
            )
        objects: dict[str, Metadata] = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                if name in leave_out:
                    left_out += 1
                    continue
                _check_name(directory, name)
                below: Metadata = {}
                objects[name] = below
                if not entry.is_dir():
                    files.append((entry.path, below))
                elif entry.is_symlink():
                    linked_directories.append(entry.path)
                else:
                    waiting.append((entry.path, below, level + 1))
        leave_out = frozenset()  # names in the directories below are none of those
        if objects:
            here["o"] = objects
    return metadata, files, linked_directories, left_out


def list_with_files(
    nodes: str,
    shard: str,
    interrupted: Callable[[], None] = go_on,
    look_at_file: Callable[[str], None] = leave_alone,
) -> Listed:
    """List the folders of a shard, and the files in each.

    Args:
        nodes: As for :func:`list_folders`.
        shard: As there.
        interrupted: As there.
        look_at_file: Receives the path of each file.

    Returns:
        What :func:`list_folders` returns, and what :func:`list_files` returns for each directory
        that is not empty; these are few.

    Raises:
        CannotBeMovedError: As for these two.
        OSError: As for these two, or a link leads nowhere.
    """
    found: dict[str, Files] = {}
    listed = set()

    def read(content: str) -> bool:
        try:
            files = list_files(content)
        except FileNotFoundError:
            if os.path.lexists(content):  # a link that leads nowhere
                raise
            return False
        listed.add(content)
        for path, _ in files[1]:
            look_at_file(path)
        if files[0]:
            found[content] = files
        return True

    folders = list_folders(nodes, shard, interrupted, read)
    for content in folders[0].values():
        if content not in listed and not read(content):
            raise FileNotFoundError(content)  # removed since it was found
    return folders, found


def require_readable_file(path: str) -> None:
    """Require that there is a file which this process may read.

    Raises:
        OSError: There is none, or it may not.
    """
    status = os.stat(path)  # noqa: PTH116 - paths are text: there are very many
    if not stat.S_ISREG(status.st_mode) or not may_read(status):
        raise PermissionError


def may_read(status: os.stat_result) -> bool:
    """Whether this process may read a file, by its mode; the superuser reads all."""
    user = os.geteuid()
    if user == 0:
        return True
    if status.st_uid == user:
        return bool(status.st_mode & stat.S_IRUSR)
    if status.st_gid == os.getegid() or status.st_gid in os.getgroups():
        return bool(status.st_mode & stat.S_IRGRP)
    return bool(status.st_mode & stat.S_IROTH)


def _is_uuid(text: str) -> bool:
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and not "".join(parts).strip(_DIGITS)


def _sorted_entries(directory: str) -> list[os.DirEntry[str]]:
    """What is in a directory, by name; nothing where there is none."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _contents_of(folder: str, has_path: Callable[[str], bool]) -> list[str]:
    """The directories that may hold a node's files; two where both hold some."""
    # Joined as text, and checked for two names instead of listed: there are very many.
    path, raw_input = f"{folder}{os.sep}path", f"{folder}{os.sep}raw_input"
    if not is_there(raw_input):
        return [path] if has_path(path) else []
    # AiiDA left an empty `path`, or one with a .gitignore, beside `raw_input`.
    if not is_there(path) or not _has_files(path):
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
        raise CannotBeMovedError(
            f"the name of a file in {directory} is not valid UTF-8, and the database could not "
            f"hold it: rename {os.fsencode(name)!r} and run again"
        ) from error


def _answer_each(nodes: str) -> None:
    for name in sys.stdin:
        try:
            answer = marshal.dumps(
                list_with_files(nodes, name.strip(), look_at_file=require_readable_file)
            )
        except (OSError, CannotBeMovedError):
            answer = marshal.dumps(None)
        sys.stdout.buffer.write(len(answer).to_bytes(SIZE_BYTES, "little") + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _answer_each(sys.argv[1])
