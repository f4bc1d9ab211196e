"""Files and folders of a repository that cannot be moved into a container (0047).

The status of each file is read in threads or processes, once where nothing is wrong with its shard;
nothing is opened but directories, to list them.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import defaultdict
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

import asyncpg
from anyio import from_thread

from aiidadb.connecting.uninterrupted import clean_up_after, in_thread, uninterrupted
from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.checks.catalogue import KINDS
from aiidadb.migration.checks.rows import query_for
from aiidadb.migration.repository.lister import (
    LEVELS_AT_MOST,
    may_read,
    require_readable_file,
)
from aiidadb.migration.repository.lister_processes import ListerProcesses, useful_number
from aiidadb.migration.repository.node_folders import (
    SHARDS,
    SYMBOLS_FILE,
    file_of_node,
    nodes_path,
)
from aiidadb.migration.repository.read_ahead import ReadAhead, list_ahead
from aiidadb.migration.repository.thread_results import result_of
from aiidadb.migration.row_batches import read_in_batches
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from aiidadb.migration.checks.catalogue import Kind
    from aiidadb.migration.findings import Finding
    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.migration.python_step import StepContext

__all__ = ["FoundFiles", "find_files", "find_missing_symbols", "name_nodes"]

# A few first, to see what they take; and after each some more the caller is informed.
_SHARDS_FIRST: Final = 4
_SHARDS_AT_ONCE: Final = 28
_NODES_AT_ONCE: Final = 500
_KEPT: Final = 10  # of the paths of a kind
# Where it takes longer to wait for the disk, or for the server of a network's file system, than
# this multiple of the work, several threads wait together. Where the system has all in memory, they
# would take Python's lock from each other at each system call: processes list, where that pays.
_THREADS: Final = 8
_WAITING: Final = 4
_WORTH_PROCESSES: Final = 0.15  # seconds


async def find_missing_symbols(context: StepContext, plan: MigrationPlan) -> list[Finding]:
    """Find trajectories without the file of symbols that a step reads. Only reads.

    Args:
        context: What steps work with.
        plan: What will run.

    Returns:
        A finding, or none.
    """
    repository = context.options.repository
    step = KINDS["missing_symbols"].step_of(plan)
    if repository is None or step is None or context.options.without_repository:
        return []
    return await _find_missing_symbols(context, plan, step, repository)


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files or folders of one kind.

    Attributes:
        kind: What they are.
        step: The step that would stop at them.
        repository: Where they are.
        count: How many there are.
        places: The paths of the first few, as text.
    """

    kind: Kind
    step: str
    repository: Path
    count: int
    places: Sequence[str]

    def uuids(self) -> list[str]:
        """The uuids of the nodes that they belong to; of what belongs to none, other text."""
        nodes = _as_text(str(nodes_path(self.repository)))
        inside = (place.removeprefix(f"{nodes}{os.sep}") for place in self.places)
        return ["".join(Path(path).parts[:3]) for path in inside]


async def find_files(
    context: StepContext, plan: MigrationPlan
) -> tuple[list[FoundFiles], ReadAhead | None]:
    """Find what the move of the files would stop at. Only reads, and asks the database nothing.

    Args:
        context: What steps work with.
        plan: What will run.

    Returns:
        What was found of each kind, for :func:`name_nodes`; and what was listed, for the move, None
        where nothing is moved.
    """
    repository = context.options.repository
    step = KINDS["unreadable_file"].step_of(plan)
    if repository is None or step is None:
        return [], None
    ahead = ReadAhead(repository)
    walk = _Walk(nodes_path(repository), ahead)
    try:
        for first, last in pairwise((0, *range(_SHARDS_FIRST, len(SHARDS) + 1, _SHARDS_AT_ONCE))):
            await in_thread(walk.look_at_shards, SHARDS[first:last])
            context.progress("looking at the files of nodes", last, len(SHARDS))
    except BaseException as error:
        await clean_up_after(error, in_thread(walk.end), within=None)
        raise
    await uninterrupted(in_thread(walk.end), within=None)
    found = [
        FoundFiles(KINDS[code], step, repository, walk.counts[code], paths)
        for code, paths in walk.found.items()
    ]
    return found, ahead


async def name_nodes(connection: asyncpg.Connection, found: Sequence[FoundFiles]) -> list[Finding]:
    """Make findings of files, with the nodes that they belong to. Only reads.

    Args:
        connection: In a transaction, which continues in any case.
        found: What :func:`find_files` found.

    Returns:
        A finding for each kind.
    """
    pks: dict[str, int] = {}
    uuids = [uuid for one in found for uuid in one.uuids()]
    # What keeps the role out of the table is a finding of its own.
    with suppress(asyncpg.InsufficientPrivilegeError):
        async with connection.transaction():
            pks = dict(await QUERIES["nodes_of_folders"].fetch(connection, uuids)) if uuids else {}
    return [
        one.kind.found(
            one.step,
            str(one.repository),
            one.count,
            sorted({pks[uuid] for uuid in one.uuids() if uuid in pks}),
            places=one.places,
        )
        for one in found
    ]


@dataclass
class _Walk:
    """A pass over the folders of all nodes. Everything blocks.

    Each shard is listed as the move would list it. Where that fails, or a file could not be read,
    it is looked at once more, to find all that is wrong with it.

    Attributes:
        nodes: Where they are.
        ahead: Keeps each shard with which nothing is wrong, as it was listed.
        interrupted: Called between pieces of work; raises when the work is to be given up.
        threads: How many look at shards, each at one of its own.
        processes: What lists shards for the threads, if that pays.
        found: The first few paths of each kind.
        counts: How many there are of each kind.
    """

    nodes: Path
    ahead: ReadAhead
    interrupted: Callable[[], None] = from_thread.check_cancelled
    threads: int = 1
    processes: ListerProcesses | None = None
    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def look_at_shards(self, shards: Sequence[str]) -> None:
        """Look at the nodes whose uuids begin with two digits each."""
        if self.threads > 1 and self._look_in_threads(shards):
            return
        begin, idle = time.perf_counter(), time.thread_time()
        for shard in shards:
            self._look_at_shard(shard)
        if self.processes is not None:
            return  # they, or threads for them, could not be started
        worked = time.thread_time() - idle
        passed = time.perf_counter() - begin
        if passed > _WAITING * worked:
            self.threads = _THREADS
        elif (
            passed / len(shards) * len(SHARDS) > _WORTH_PROCESSES
            and (number := useful_number()) > 1
        ):
            self.processes = ListerProcesses(self.nodes, number)
            if len(self.processes) > 1:
                self.threads = len(self.processes)
            else:  # one process is no faster than this one
                self.end()

    def end(self) -> None:
        """End the processes."""
        if self.processes is not None:
            self.processes.close()

    def _look_in_threads(self, shards: Sequence[str]) -> bool:
        """Whether the threads could be started: otherwise nothing was looked at."""
        given_up = Event()

        def interrupted() -> None:
            if given_up.is_set():
                raise CancelledError

        def give_up() -> None:
            given_up.set()
            if self.processes is not None:
                self.processes.kill()

        def look(shard: str) -> _Walk:
            walk = _Walk(self.nodes, self.ahead, interrupted, processes=self.processes)
            walk._look_at_shard(shard)
            return walk

        with ThreadPoolExecutor(self.threads) as threads:
            looking: list[Future[_Walk]] = []
            try:
                with suppress(RuntimeError):  # no further thread can be started
                    looking += [threads.submit(look, shard) for shard in shards]
                # In the order of the shards: what is found does not depend on which was first.
                for one in looking:
                    self._add(result_of(one, self.interrupted))
            except BaseException:
                give_up()
                raise
            if not looking:
                give_up()
        if not looking:
            self.threads = 1
            self.end()
        return bool(looking)

    def _add(self, other: _Walk) -> None:
        for code, paths in other.found.items():
            self.counts[code] += other.counts[code]
            self.found[code] += paths[: _KEPT - len(self.found[code])]

    def _look_at_shard(self, name: str) -> None:
        listed = None if self.processes is None else self.processes.list(name)
        try:
            if listed is None:
                self.interrupted()
                listed = list_ahead(self.nodes, name, self.interrupted, require_readable_file)
        except (OSError, StorageMigrationError):
            self._look_closely(name)
        else:
            self.ahead.keep(listed)

    def _look_closely(self, shard: str) -> None:
        for second in self._directories(f"{self.nodes}{os.sep}{shard}"):
            self.interrupted()
            for folder in self._directories(second):
                self._look_at_folder(folder)

    def _look_at_folder(self, folder: str) -> None:
        # A node's folder is not listed: what else is in it does not belong to a node.
        files = self._look_below(f"{folder}{os.sep}path")
        inputs = self._look_below(f"{folder}{os.sep}raw_input")
        if files and inputs:
            self._note("two_contents", folder)

    def _directories(self, directory: str) -> list[str]:
        try:
            with os.scandir(directory) as entries:
                return sorted(entry.path for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return []
        except OSError:
            self._note("unreadable_file", directory)
            return []

    def _look_below(self, content: str) -> int:
        """How many files of a node there are in a directory and those below it."""
        files = 0
        too_deep = False
        waiting = [(content, 0)]
        while waiting:
            directory, level = waiting.pop()
            too_deep |= level > LEVELS_AT_MOST
            below: list[str] = []
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        is_file = self._look_at(entry, below)
                        # AiiDA left an empty `path`, or one with a .gitignore, by `raw_input`.
                        files += is_file and not (
                            directory == content and entry.name == ".gitignore"
                        )
            except FileNotFoundError:
                if Path(directory).is_symlink():
                    self._note("broken_link", directory)
                elif directory != content:
                    self._note("unreadable_file", directory)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    too_deep = True
                else:
                    self._note("unreadable_file", directory)
            waiting += [(path, level + 1) for path in below]
        if too_deep:
            self._note("too_deep_directories", content)
        return files

    def _look_at(self, entry: os.DirEntry[str], below: list[str]) -> bool:
        path = entry.path
        try:
            entry.name.encode("utf-8")
        except UnicodeEncodeError:
            self._note("unstorable_file_name", path)
        try:
            status = entry.stat()
        except FileNotFoundError:
            self._note("broken_link", path)
            return True
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG and not entry.is_symlink():
                raise
            is_loop = entry.is_symlink() and not isinstance(error, PermissionError)
            self._note("broken_link" if is_loop else "unreadable_file", path)
            return True
        if stat.S_ISDIR(status.st_mode):
            if not entry.is_symlink():
                below.append(path)
            return False
        if not stat.S_ISREG(status.st_mode):
            self._note("special_file", path)
        elif not may_read(status):
            self._note("unreadable_file", path)
        return True

    def _note(self, code: str, path: str) -> None:
        self.counts[code] += 1
        if len(self.found[code]) < _KEPT:
            self.found[code].append(_as_text(path))


def _as_text(path: str) -> str:
    """A path without what is not valid UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


async def _find_missing_symbols(
    context: StepContext, plan: MigrationPlan, step: str, repository: Path
) -> list[Finding]:
    query = query_for(("trajectory_files", "trajectory_files_json"), plan.form)
    if query is None:
        return []
    missing: list[int] = []
    example = None
    batches = read_in_batches(context.connection, query.name, size=_NODES_AT_ONCE)
    async for rows in batches:
        wanted = [(row["pk"], file_of_node(repository, row["uuid"], SYMBOLS_FILE)) for row in rows]
        for pk, path in await in_thread(_not_there, wanted):
            missing.append(pk)
            example = example or str(path)
    if not missing:
        return []
    return [
        KINDS["missing_symbols"].found(step, "db_dbnode", len(missing), missing, example=example)
    ]


def _not_there(wanted: Sequence[tuple[int, Path]]) -> list[tuple[int, Path]]:
    return [(pk, path) for pk, path in wanted if not path.exists()]
