"""An index on the states of processes, which AiiDA's schema does not have: made on request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
import asyncpg

from aiidadb.exceptions import PermissionDenied, StorageMigrationError
from aiidadb.migration.patience import with_patience
from aiidadb.migration.transaction import atomic
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiidadb.migration.options import MigrationOptions
    from aiidadb.sql import Runner

__all__ = [
    "IndexChange",
    "ProcessStateIndex",
    "create_index",
    "drop_index",
    "find_index",
    "require_owner",
]

_AGAIN: Final = "run again, which does what is left to do"

_COMMITTED_WITHIN: Final = 1.0
"""Seconds after which a commit that was about to come has come."""

IndexChange: TypeAlias = "Callable[[asyncpg.Connection, MigrationOptions], Awaitable[bool]]"
"""What :func:`create_index` and :func:`drop_index` are."""


@dataclass(frozen=True, slots=True)
class ProcessStateIndex:
    """The index on the states of processes.

    Attributes:
        name: Its name, as SQL has it: in quotes or with its schema, where that is needed.
        size: How large it is, in bytes.
    """

    name: str
    size: int


async def find_index(runner: Runner) -> ProcessStateIndex | None:
    """The index, whoever created it; None: there is none that can be used."""
    valid = (index for index in await _find_all(runner) if index["valid"])
    return next((ProcessStateIndex(index["name"], index["size"]) for index in valid), None)


async def require_owner(runner: Runner) -> None:
    """Refuse a role that can neither create the index nor drop it, whatever it is granted.

    Raises:
        PermissionDenied: The role is not a member of the one that owns the nodes.
    """
    others = await QUERIES["migration_foreign_tables"].fetch(runner, ["db_dbnode"])
    if others:
        raise PermissionDenied(
            f"db_dbnode belongs to the role {others[0]['owner']}: connect as that role, or as one "
            "that is a member of it",
            sqlstate="42501",
        )


async def create_index(connection: asyncpg.Connection, options: MigrationOptions) -> bool:
    """Create the index, unless there is one.

    Args:
        connection: From :func:`aiidadb.migration.connection.migrating_connection`.
        options: How long to wait for those who write nodes, and whom to tell.

    Returns:
        Whether it was created.

    Raises:
        StorageMigrationError: Something else has its name.
        LockTimeout: Others did not release the table in time.
        UnknownOutcome: The connection was lost during the commit.
    """

    async def create() -> bool:
        if await find_index(connection) is not None:
            return False
        # Whoever creates one concurrently lets go of the table once theirs can be used.
        await connection.execute("lock table db_dbnode in share mode")
        if await _is_unfinished(connection):
            # That it can be used is seen by others at the commit, which comes a moment later.
            await anyio.sleep(_COMMITTED_WITHIN)
        if await find_index(connection) is not None:
            return False
        # What is left is what somebody began to create concurrently, and did not finish.
        await _drop_all(connection)
        try:
            await QUERIES["create_process_state_index"].execute(connection)
        except asyncpg.DuplicateTableError as error:
            raise StorageMigrationError(
                'the schema has something else named "aiidadb_process_state"',
                advice="rename or drop it, and create the index again",
            ) from error
        # Only then is it known how many processes there are in each state, without which the index
        # is not used for rare states and a limit. Were this left for later, it might never come.
        await connection.execute("analyze db_dbnode")
        return True

    return await _all_or_nothing(create, connection, options, "create")


async def drop_index(connection: asyncpg.Connection, options: MigrationOptions) -> bool:
    """Drop the index, if there is one; takes and raises what :func:`create_index` does.

    Returns:
        Whether there was one.
    """
    return await _all_or_nothing(partial(_drop_all, connection), connection, options, "drop")


async def _find_all(runner: Runner) -> list[asyncpg.Record]:
    return await QUERIES["process_state_index"].fetch(runner)


async def _is_unfinished(connection: asyncpg.Connection) -> bool:
    """Whether there is an index that cannot be used, and none that can."""
    found = await _find_all(connection)
    return bool(found) and not any(index["valid"] for index in found)


async def _drop_all(connection: asyncpg.Connection) -> bool:
    """Drop each, whether it can be used or not; whether there was one."""
    found = await _find_all(connection)
    for index in found:
        await connection.execute(f"drop index {index['name']}")
    return bool(found)


async def _all_or_nothing(
    change: Callable[[], Awaitable[bool]],
    connection: asyncpg.Connection,
    options: MigrationOptions,
    verb: str,
) -> bool:
    async def attempt() -> bool:
        async with atomic(connection, f"the change to {verb} the index on process states", _AGAIN):
            return await change()

    return await with_patience(
        attempt,
        connection,
        ["db_dbnode"],
        options.patience,
        waiting=options.tell_wait,
        failed=f"db_dbnode could not be locked to {verb} the index on process states",
    )
