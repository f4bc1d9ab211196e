"""The symbols of trajectories, moved from ``symbols.npy`` into the attribute ``symbols`` (0026).

Step 0027 deletes the attribute ``array|symbols``, and AiiDA the file with it. Here the file stays:
the old repository is not changed, so a database that is restored from a backup still has its
files. Step 0047 leaves it out of the container, where it is not in AiiDA's either.
"""

from __future__ import annotations

import io
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from aiidadb.exceptions import MissingExtraError, StorageMigrationError
from aiidadb.migration.options import OR_WITHOUT_FILES
from aiidadb.migration.python_step import PythonStep, StepOutcome
from aiidadb.migration.repository.node_folders import SYMBOLS_FILE, file_of_node
from aiidadb.migration.row_batches import read_in_batches
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import asyncpg

    from aiidadb.migration.python_step import StepContext

__all__ = ["MOVE_TRAJECTORY_SYMBOLS"]

_NODES_AT_ONCE = 200
# Bytes of the largest file whose symbols are kept for the next file: five hundred atoms. The 256
# that are kept at most take 30 MB at most, with symbols of two bytes each.
_LARGEST_KEPT: Final = 4 * 1024

# Where attributes are JSONB, the same is queried in another way.
_OF_JSON: Final = {
    "trajectories": "trajectories_json",
    "trajectories_waiting": "trajectories_waiting_json",
    "trajectory_counts": "trajectory_counts_json",
}
_NAMED_AT_MOST = 5


async def _move_symbols(context: StepContext) -> StepOutcome:
    """Give every trajectory the attribute ``symbols``, read from its file.

    Args:
        context: The step's context.

    Returns:
        Rows of ``db_dbattribute`` (or ``db_dbnode``) written, and notes.

    Raises:
        MissingExtraError: There are symbols to read, and numpy is not installed.
        StorageMigrationError: There are symbols to read and no repository, or the file of a
            trajectory is missing or is not a list of symbols.
    """
    connection = context.connection
    counts = await QUERIES[_query("trajectory_counts", context)].fetchrow(connection)
    assert counts is not None
    if counts["nodes"] == 0:
        return StepOutcome()
    repository = context.options.repository
    if repository is None or not await to_thread.run_sync(repository.is_dir):
        if counts["with_array"] == 0:
            return StepOutcome()
        if context.options.without_repository:
            return StepOutcome(notes=(_left_as_they_are(counts["with_array"]),))
        raise _no_repository(repository, counts["with_array"])
    await to_thread.run_sync(_check_numpy)
    rows = done = moved = 0
    bare: list[str] = []
    missing: list[str] = []
    async for nodes in read_in_batches(
        connection, _query("trajectories", context), size=_NODES_AT_ONCE
    ):
        found = await to_thread.run_sync(_read_symbols, repository, nodes)
        for node, symbols in zip(nodes, found, strict=True):
            if symbols is None:
                (missing if node["has_array"] else bare).append(node["uuid"])
        if context.options.without_repository or not missing:
            rows += await _write_symbols(context, nodes, found)
        moved += len(found) - found.count(None)
        done += len(nodes)
        context.progress("symbols of trajectories read from files", done, counts["nodes"])
    if missing and not context.options.without_repository:
        raise StorageMigrationError(
            f"trajectories whose file {SYMBOLS_FILE} is missing in {repository}: "
            f"{len(missing)} (nodes {_named(missing)}); put the files back from a backup, "
            f"{OR_WITHOUT_FILES}"
        )
    return StepOutcome(rows=rows, notes=_notes(repository, moved, bare, missing))


async def _check_repository(context: StepContext) -> None:
    """Refuse what the step would refuse before it looks at a file.

    Only reads. It can be asked of a database of any version before the step.

    Args:
        context: The step's context.

    Raises:
        MissingExtraError: There are symbols to read, and numpy is not installed.
        StorageMigrationError: There are symbols to read and no repository.
    """
    number = await QUERIES[_query("trajectories_waiting", context)].fetchval(context.connection)
    if number == 0:
        return
    repository = context.options.repository
    if repository is not None and await to_thread.run_sync(repository.is_dir):
        await to_thread.run_sync(_check_numpy)
    elif not context.options.without_repository:
        raise _no_repository(repository, number)


def _query(name: str, context: StepContext) -> str:
    return _OF_JSON[name] if context.line == "sqlalchemy" else name


def _no_repository(repository: Path | None, number: int) -> StorageMigrationError:
    number_of = "1 trajectory" if number == 1 else f"{number:,} trajectories"
    return StorageMigrationError(
        f"the symbols of {number_of} are in files of the repository, which does not exist "
        f"({repository or 'none was named'}): name it in the profile or by --repository, "
        f"{OR_WITHOUT_FILES}"
    )


def _left_as_they_are(number: int) -> str:
    return (
        "trajectories that get no attribute symbols, because their files are missing, and keep the "
        f"attribute array|symbols: {number}"
    )


def _notes(repository: Path, moved: int, bare: list[str], missing: list[str]) -> tuple[str, ...]:
    notes = []
    if moved:
        notes.append(
            f"trajectories whose symbols are an attribute now: {moved}; their files, "
            f"{SYMBOLS_FILE}, which AiiDA deletes, are still in {repository} and no longer needed "
            "(AiiDA 1.x ignores them, but does not store a copy of such a node; the migration to "
            "AiiDA 2.x leaves them behind)"
        )
    if missing:
        notes.append(f"{_left_as_they_are(len(missing))} (nodes {_named(missing)})")
    if bare:
        notes.append(
            f"trajectories that have neither a file {SYMBOLS_FILE} nor an attribute that refers to "
            f"one, and get no symbols: {len(bare)} (nodes {_named(bare)})"
        )
    return tuple(notes)


def _named(uuids: list[str]) -> str:
    return ", ".join(uuids[:_NAMED_AT_MOST]) + (", …" if len(uuids) > _NAMED_AT_MOST else "")


def _check_numpy() -> None:
    try:
        import numpy as np  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "reading the symbols of trajectories needs the package numpy: "
            "pip install 'aiidadb[repository]'"
        ) from error


async def _write_symbols(
    context: StepContext,
    nodes: Sequence[asyncpg.Record],
    found: Sequence[tuple[str, ...] | None],
) -> int:
    with_symbols = [
        (node["id"], symbols)
        for node, symbols in zip(nodes, found, strict=True)
        if symbols is not None
    ]
    if not with_symbols:
        return 0
    ids = [pk for pk, _ in with_symbols]
    texts = [json.dumps(symbols) for _, symbols in with_symbols]
    if context.line == "sqlalchemy":
        await QUERIES["trajectory_symbols_update_json"].execute(context.connection, ids, texts)
        return len(ids)
    await QUERIES["trajectory_symbols_delete"].execute(context.connection, ids)
    await QUERIES["trajectory_symbols_insert"].execute(context.connection, ids, texts)
    return sum(1 + len(symbols) for _, symbols in with_symbols)


def _read_symbols(
    repository: Path, nodes: Sequence[asyncpg.Record]
) -> list[tuple[str, ...] | None]:
    """The symbols of some nodes, None where there is no file. Blocks."""
    return [_load(file_of_node(repository, node["uuid"], SYMBOLS_FILE)) for node in nodes]


def _load(path: Path) -> tuple[str, ...] | None:
    try:
        content = path.read_bytes()
        read = _read_array if len(content) > _LARGEST_KEPT else _read_array_once
        symbols = read(content)
    except FileNotFoundError:
        return None
    # Of a damaged file, numpy also raises what its parsers do: TokenError, BadZipFile, SystemError.
    except Exception as error:
        raise StorageMigrationError(
            f"{path} cannot be read as an array of numpy: {error}; put the file back from a backup "
            "and run again"
        ) from error
    if symbols is None:
        raise StorageMigrationError(
            f"{path} is not the list of symbols that AiiDA keeps of a trajectory: put the file "
            "back from a backup and run again"
        )
    if any("\0" in symbol for symbol in symbols):
        raise StorageMigrationError(
            f"{path} has a symbol with the character NUL, which PostgreSQL cannot hold"
        )
    return symbols


def _read_array(content: bytes) -> tuple[str, ...] | None:
    """The symbols in a file; None where it has something else."""
    import numpy as np

    # No pickles: a file of the repository must not be able to run code.
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "SU":
        return None
    # Python 2 wrote byte strings.
    return tuple(
        item.decode("utf-8") if isinstance(item, bytes) else str(item) for item in array.tolist()
    )


# All trajectories of a material have the same file, and to read it takes a fifth of what numpy does
# with it.
_read_array_once = lru_cache(maxsize=256)(_read_array)


MOVE_TRAJECTORY_SYMBOLS: Final = PythonStep(
    "move_trajectory_symbols", _move_symbols, _check_repository, finding="missing_symbols"
)
