"""The file repository of AiiDA 0.x and 1.x, moved into a container of AiiDA 2.x (0047).

Each node's files become objects of ``<repository>/container``, and what it has is written to
``db_dbnode.repository_metadata``, both as aiida-core 2.9.4 does it. The old repository is read and
never changed. Stopped anywhere, the next run continues with the unfinished container that it finds:
objects that are there are not written again, and in the end the container is complete.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Self, TypeVar
from uuid import UUID

from anyio import from_thread

from aiidadb.connecting.uninterrupted import clean_up_after, in_thread
from aiidadb.exceptions import RepositoryError, StorageMigrationError
from aiidadb.messages import plural
from aiidadb.migration.crash_safe_files import may_be_written, sync_directory
from aiidadb.migration.export_file import check_export_directory
from aiidadb.migration.options import OR_WITHOUT_FILES
from aiidadb.migration.python_step import PythonStep, StepOutcome
from aiidadb.migration.repository.container import container_path, import_disk_objectstore
from aiidadb.migration.repository.container_mark import check_place, remove_mark, take_place
from aiidadb.migration.repository.container_objects import ObjectWriter
from aiidadb.migration.repository.directory_lock import lock_directory
from aiidadb.migration.repository.node_folders import (
    NO_FILES,
    SHARDS,
    SYMBOLS_FILE,
    has_folder_of,
    list_shard,
    nodes_path,
    read_tree,
)
from aiidadb.migration.repository.pack_writer import PackWriter
from aiidadb.migration.repository.read_ahead import ReadAhead, ShardAhead, reading_ahead
from aiidadb.migration.repository.unmatched_files import Mismatches
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    import asyncpg

    from aiidadb.migration.python_step import StepContext
    from aiidadb.migration.repository.node_folders import Shard, Tree

T = TypeVar("T")

__all__ = ["MOVE_REPOSITORY"]

_LOGGER: Final = logging.getLogger(__name__)

# A batch is what is in memory, and flushed to the disk, together. One node with more files than
# that is a batch of its own.
_FILES_AT_ONCE = 2_000
_NODES_AT_ONCE = 2_000
_NODES_ASKED: Final = 500

_SYMBOLS: Final = frozenset({SYMBOLS_FILE})
_NOTHING: Final[frozenset[str]] = frozenset()


async def _move_repository(context: StepContext) -> StepOutcome:
    """Move the files of all nodes into a container, and tie it to the database.

    Args:
        context: The step's context.

    Returns:
        Nodes that were given ``repository_metadata``; a file that lists what has no counterpart,
        if anything; notes; and the removal of the mark after the commit.

    Raises:
        MissingExtraError: The package ``disk-objectstore`` is not installed.
        StorageMigrationError: The database has nodes and its repository does not exist, or the one
            that is there has a folder of none of them; a container exists already; a file
            cannot be read; the disk is full.
    """
    asked = await _check_repository(context)
    repository = context.options.repository
    if repository is None:
        note = (
            "no container for files was created, because no file repository was named; "
            "aiida-core 2.x opens the database once there is one whose id is the setting "
            "repository|uuid"
        )
        return StepOutcome(notes=(note,))
    async with AsyncExitStack() as stack:
        move = _Move(context, repository, asked.nodes, stack)
        move.notes += asked.notes
        await _lock(stack, repository, context.options.dry_run)
        container_id = None
        if not context.options.dry_run:
            container_id = await _in_thread(take_place, repository, asked.owner)
        if asked.is_to_move:
            await move.run()
        if container_id is not None:
            await _write_setting(context, container_id, move.notes)
            await _in_thread(sync_directory, container_path(repository))
    return move.outcome(container_id, moved=asked.is_to_move)


class _Asked(NamedTuple):
    """What was asked before anything is done.

    Attributes:
        nodes: How many the database has.
        owner: What the database is known by.
        is_to_move: Whether there are files to move.
        notes: Why what is there is left alone, if it is.
    """

    nodes: int
    owner: str
    is_to_move: bool
    notes: tuple[str, ...] = ()


async def _check_repository(context: StepContext) -> _Asked:
    """Refuse what the step would refuse before it does anything. Only reads.

    It can be asked of a database of any version, long before the step's turn comes.

    Args:
        context: The step's context.

    Returns:
        What was asked.

    Raises:
        MissingExtraError: The package ``disk-objectstore`` is not installed.
        StorageMigrationError: The database has nodes and its repository does not exist, may not be
            written, or has a folder of none of them; a container is there already.
    """
    nodes, owner = await _nodes_and_owner(context)
    repository = context.options.repository
    if repository is None:
        if nodes and not context.options.without_repository:
            raise StorageMigrationError(
                f"the database has {plural(nodes, 'node')}, whose files AiiDA keeps in a "
                "repository, and none was named: name it in the profile or by --repository, "
                f"{OR_WITHOUT_FILES}"
            )
        return _Asked(nodes, owner, is_to_move=False)
    await _in_thread(import_disk_objectstore)
    await _in_thread(check_place, repository, owner)
    await _in_thread(_require_writable, context, repository)
    is_to_move = await _in_thread(_is_to_move, context, repository, nodes)
    if not is_to_move:
        return _Asked(nodes, owner, is_to_move=False)
    await check_export_directory(context)  # for what has no counterpart
    if nodes == 0 or await _belongs(context, repository):
        return _Asked(nodes, owner, is_to_move=True)
    text = (
        f"not one of the database's nodes ({nodes}) has a folder in {nodes_path(repository)}: it "
        "is another database's, or empty"
    )
    if not context.options.without_repository:
        raise StorageMigrationError(
            f"{text}; name the right repository (--repository), {OR_WITHOUT_FILES}"
        )
    return _Asked(nodes, owner, is_to_move=False, notes=(f"{text}; it was left alone",))


async def _belongs(context: StepContext, repository: Path) -> bool:
    """Whether a node of the database has a folder in the repository, as the first ones should."""
    query = QUERIES["repository_node_uuids"]
    nodes = nodes_path(repository)
    last = 0
    while rows := await query.fetch(context.connection, last, _NODES_ASKED):
        last = rows[-1]["pk"]
        if await _in_thread(has_folder_of, nodes, [row["uuid"] for row in rows]):
            return True
    return False


async def _nodes_and_owner(context: StepContext) -> tuple[int, str]:
    row = await QUERIES["repository_owner"].fetchrow(context.connection)
    assert row is not None
    return row["nodes"], row["owner"]


class _Move:
    """One pass over the old repository, from the uuids that begin with 00 to those with ff."""

    def __init__(
        self, context: StepContext, repository: Path, nodes: int, stack: AsyncExitStack
    ) -> None:
        self.notes: list[str] = []
        self._context = context
        self._repository = repository
        self._nodes = nodes
        self._matched = 0
        self._written = 0
        self._symbols_left = 0
        self._mismatches = Mismatches(context, stack)
        self._objects = ObjectWriter(None, from_thread.check_cancelled)

    async def run(self) -> None:
        """Write the objects and the nodes' metadata."""
        if self._context.options.dry_run:
            await self._run()
            return
        _LOGGER.info("moving files into the container: begins")
        begin = time.perf_counter()
        packs = PackWriter(container_path(self._repository))
        await _in_thread(packs.__enter__)
        self._objects = ObjectWriter(packs, from_thread.check_cancelled)
        try:
            await self._run()
        except BaseException as error:
            await clean_up_after(error, _in_thread(packs.__exit__, type(error)), within=None)
            raise
        await _in_thread(packs.__exit__, None)
        seconds = time.perf_counter() - begin
        nodes = plural(self._written, "node")
        _LOGGER.info("moved the files of %s in %.1f seconds", nodes, seconds)

    async def _run(self) -> None:
        stored: list[_Moved] = []
        async with _one_ahead(self._list_shards()) as listings:
            async for found in listings:
                waiting = await self._match(found)
                async with _one_ahead(self._store(waiting)) as batches:
                    # The server writes what was stored last while the next is stored in a thread,
                    # be it of these shards or the first of the next ones.
                    await self._write_metadata(stored)
                    stored = []
                    async for batch in batches:
                        await self._write_metadata(stored)
                        stored = batch
        await self._write_metadata(stored)
        await self._mismatches.publish()

    def outcome(self, container_id: str | None, *, moved: bool) -> StepOutcome:
        """What the step did, when all is done."""
        place = container_path(self._repository)
        old = self._repository / "repository"
        if container_id is None:
            first = f"a container would be created at {place}"
        elif moved:
            first = (
                f"nodes whose files are in {place} now: {self._written}; the old repository, "
                f"{old}, was not changed: remove it when AiiDA 2.x has been seen to work"
            )
        else:
            first = f"an empty container was created at {place}"
        notes = [first, *self.notes, *self._mismatches.notes()]
        if self._symbols_left:
            notes.append(
                f"files {SYMBOLS_FILE} that were left out, because the symbols are attributes of "
                f"the trajectories: {self._symbols_left}"
            )
        return StepOutcome(
            rows=self._written,
            files=self._mismatches.files(),
            notes=tuple(notes),
            after_commit=() if container_id is None else (partial(remove_mark, self._repository),),
        )

    def _list_shards(self) -> Iterator[Sequence[ShardAhead]]:
        """List the shards, so many together that few nodes do not cost many queries. Blocks."""
        ahead = self._context.ahead
        number = max(1, len(SHARDS) * _NODES_AT_ONCE // max(1, self._nodes))
        for first in range(0, len(SHARDS), number):
            found = []
            for shard in SHARDS[first : first + number]:
                from_thread.check_cancelled()
                known = ahead.take(shard) if isinstance(ahead, ReadAhead) else None
                found.append(known or ShardAhead(self._list_shard(shard)))
            yield found

    def _list_shard(self, shard: str) -> Shard:
        return list_shard(nodes_path(self._repository), shard, from_thread.check_cancelled)

    async def _nodes_of(self, found: Sequence[ShardAhead]) -> Sequence[asyncpg.Record]:
        return await QUERIES["repository_nodes"].fetch(
            self._context.connection,
            UUID(f"{found[0].shard.name}{'0' * 30}"),
            UUID(f"{found[-1].shard.name}{'f' * 30}"),
        )

    async def _match(self, found: Sequence[ShardAhead]) -> list[_Waiting]:
        """Compare the folders of some shards with the database."""
        rows = await self._nodes_of(found)
        symbols_moved: dict[str, bool] = dict(rows)  # rows of two columns are pairs
        without_folder = set(symbols_moved)
        without_node = []
        waiting = []
        for one in found:
            without_folder.difference_update(one.shard.folders)
            for uuid, content in one.shard.folders.items():
                moved = symbols_moved.get(uuid)
                if moved is None:
                    without_node.append(content)
                # Most nodes have no files: where that was seen ahead, nothing is left to do.
                if one.trees.get(content) is NO_FILES and not moved:
                    self._matched += moved is not None
                    continue
                leave_out = _SYMBOLS if moved else _NOTHING
                waiting.append(_Waiting(uuid, content, moved is not None, leave_out, one))
        without_content = [path for one in found for path in one.shard.without_content]
        without_folder -= {"".join(Path(path).parts[-3:]) for path in without_content}
        await self._mismatches.add("node_without_folder", sorted(without_folder))
        await self._mismatches.add("folder_without_content", without_content)
        await self._mismatches.add(
            "no_folder_of_a_node", (path for one in found for path in one.shard.strange)
        )
        await self._mismatches.add("folder_without_node", without_node)
        return waiting

    def _store(self, folders: Iterable[_Waiting]) -> Iterator[list[_Moved]]:
        """Write the files of folders, as many folders together as fit. Blocks."""
        batch: list[tuple[_Waiting, Tree]] = []
        files = 0
        for folder in folders:
            tree = folder.tree()
            if tree is None:
                from_thread.check_cancelled()
                tree = read_tree(folder.content, folder.leave_out)
            batch.append((folder, tree))
            files += len(tree.files)
            if len(batch) >= _NODES_AT_ONCE or files >= _FILES_AT_ONCE:
                yield self._store_batch(batch)
                batch, files = [], 0
        if batch:
            yield self._store_batch(batch)

    def _store_batch(self, batch: Sequence[tuple[_Waiting, Tree]]) -> list[_Moved]:
        files = [file for _, tree in batch for file in tree.files]
        known = {
            path: small
            for folder, tree in batch
            for path, _ in tree.files
            if (small := folder.ahead.files.get(path)) is not None
        }
        keys = self._objects.store([path for path, _ in files], known)
        for (_, metadata), key in zip(files, keys, strict=True):
            metadata["k"] = key
        return [
            _Moved(
                folder.uuid,
                json.dumps(tree.metadata) if tree.metadata else None,
                tree.left_out,
                tuple(tree.linked_directories),
            )
            for folder, tree in batch
            if folder.is_node
        ]

    async def _write_metadata(self, batch: Sequence[_Moved]) -> None:
        self._matched += len(batch)
        self._symbols_left += sum(moved.left_out for moved in batch)
        await self._mismatches.add(
            "linked_directory", (link for moved in batch for link in moved.linked_directories)
        )
        # A node without files keeps the column's default, as with aiida-core.
        with_files = [moved for moved in batch if moved.metadata is not None]
        if with_files:
            await QUERIES["repository_metadata_write"].execute(
                self._context.connection,
                [moved.uuid for moved in with_files],
                [moved.metadata for moved in with_files],
            )
            self._written += len(with_files)
        self._context.progress("files of nodes moved to the container", self._matched, self._nodes)


class _Waiting(NamedTuple):
    """A folder whose files are still to be moved."""

    uuid: str
    content: str
    is_node: bool
    leave_out: frozenset[str]
    ahead: ShardAhead

    def tree(self) -> Tree | None:
        """What is in it, where that was read ahead and is wanted as it is."""
        return None if self.leave_out else self.ahead.trees.get(self.content)


class _Moved(NamedTuple):
    """A node whose files are in the container: what the database is to know of it."""

    uuid: str
    metadata: str | None
    left_out: int
    linked_directories: tuple[str, ...]


def _is_to_move(context: StepContext, repository: Path, nodes: int) -> bool:
    """Whether there is an old repository to move; refused if there must be one and is not."""
    if nodes_path(repository).is_dir():
        return True
    if nodes and not context.options.without_repository:
        raise StorageMigrationError(
            f"the database has {plural(nodes, 'node')}, whose file repository, "
            f"{nodes_path(repository)}, does not exist: put it back in its place, "
            f"{OR_WITHOUT_FILES}"
        )
    return False


def _require_writable(context: StepContext, repository: Path) -> None:
    # What an earlier run has begun is continued.
    for place in (repository, container_path(repository)):
        if not context.options.dry_run and not may_be_written(place):
            raise StorageMigrationError(
                f"AiiDA 2.x keeps files in {container_path(repository)}, and {place} cannot be "
                "written: give the user who migrates the right to do so, or run as its owner; "
                "nothing was changed"
            )


async def _lock(stack: AsyncExitStack, repository: Path, dry_run: bool) -> None:
    """Keep out a run whose connection was cut and that has not noticed yet: it may still write."""
    if dry_run:
        return
    await _in_thread(partial(repository.mkdir, parents=True, exist_ok=True))
    lock = lock_directory(repository)
    if not await _in_thread(stack.enter_context, lock):
        raise StorageMigrationError(
            f"another process is moving the files of {repository}: wait until it has finished and "
            "run again"
        )


class _OneAhead(Generic[T]):
    """What an iterator that blocks gives: in a thread, each while the one before is used."""

    def __init__(self, source: Iterator[T]) -> None:
        self._source = source
        self._begin()

    def _begin(self) -> None:
        self._next = asyncio.ensure_future(_in_thread(self._take))

    def _take(self) -> tuple[T] | None:
        for one in self._source:
            return (one,)
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        taken = await self._next
        if taken is None:
            raise StopAsyncIteration
        self._begin()
        return taken[0]

    async def end(self) -> None:
        """Stop, and wait for the thread."""
        self._next.cancel()
        await asyncio.wait((self._next,))
        if not self._next.cancelled():
            self._next.exception()  # asyncio logs errors that were not looked at


@asynccontextmanager
async def _one_ahead(source: Iterator[T]) -> AsyncIterator[_OneAhead[T]]:
    """Go through an iterator that blocks, in a thread that is at most one step ahead."""
    ahead = _OneAhead(source)
    try:
        yield ahead
    except BaseException as error:
        await clean_up_after(error, ahead.end(), within=None)
        raise
    await ahead.end()


async def _write_setting(context: StepContext, container_id: str, notes: list[str]) -> None:
    previous = await QUERIES["repository_uuid_write"].fetchval(context.connection, container_id)
    if previous not in (None, container_id):
        notes.append(f"the setting repository|uuid was {previous}, the id of another container")


async def _in_thread(function: Callable[..., T], *values: object) -> T:
    """Run what blocks in a thread, and say what failed on the disk."""
    try:
        return await in_thread(function, *values)
    except RepositoryError as error:
        raise StorageMigrationError(str(error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "free some space and run again; what the container has so far is kept and used"
        else:
            advice = "nothing of the old repository was changed; correct this and run again"
        raise StorageMigrationError(
            f"moving the file repository failed: {error}: {advice}"
        ) from error


MOVE_REPOSITORY: Final = PythonStep(
    "move_repository",
    _move_repository,
    _check_repository,
    reading_ahead,
    finding="repository",
)
