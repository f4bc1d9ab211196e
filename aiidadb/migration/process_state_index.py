"""An index on the states of processes, which AiiDA's schema does not have: made on request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import asyncpg

from aiidadb.arguments import require_function, require_wait
from aiidadb.connecting.sessions.served import WITH_JSON_COLUMNS, served
from aiidadb.exceptions import PermissionDenied, StorageMigrationError
from aiidadb.migration.connection import migrating_connection
from aiidadb.migration.options import CallersError, MigrationOptions
from aiidadb.migration.patience import with_patience
from aiidadb.migration.transaction import atomic
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.migration.report import ProgressCallback
    from aiidadb.sql import Runner

__all__ = [
    "ProcessStateIndex",
    "create_index",
    "drop_index",
    "find_index",
]

_AGAIN: Final = "run again, which does what is left to do"

_COMMITTED_WITHIN: Final = 30.0
"""Seconds to wait for a commit that is about to come, which takes a moment."""

_LOOK_AGAIN: Final = 0.02


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


async def create_index(
    session: Session, progress: ProgressCallback | None, patience: float
) -> bool:
    """See :meth:`aiidadb.SchemaManager.create_process_state_index`."""
    return await _change(session, _create, progress, patience)


async def drop_index(session: Session, progress: ProgressCallback | None, patience: float) -> bool:
    """See :meth:`aiidadb.SchemaManager.drop_process_state_index`."""
    return await _change(session, _drop, progress, patience)


async def _change(
    session: Session,
    change: Callable[[asyncpg.Connection, MigrationOptions], Awaitable[bool]],
    progress: ProgressCallback | None,
    patience: float,
) -> bool:
    """Change the index on a connection of its own, as a migration would."""
    require_function(progress, "progress")
    require_wait(patience, "patience")
    session.require_version()
    options = MigrationOptions(patience=patience, progress=progress)
    try:
        with served(session, since=WITH_JSON_COLUMNS):
            await _require_owner(session)
            async with migrating_connection(
                session.profile,
                session.options,
                patience=patience,
                waiting=options.tell_wait,
                command="index",
            ) as connection:
                return await change(connection, options)
    except CallersError as error:
        own = error.error
    raise own


async def _require_owner(runner: Runner) -> None:
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


async def _create(connection: asyncpg.Connection, options: MigrationOptions) -> bool:
    """Create the index, unless there is one; whether it was created."""

    async def create() -> bool:
        if await find_index(connection) is not None:
            return False
        # Whoever creates one concurrently releases the table once theirs can be used.
        await connection.execute("lock table db_dbnode in share mode")
        # Others see that it can be used from the commit on, which comes a moment later.
        await _wait_for_commit(connection)
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


async def _drop(connection: asyncpg.Connection, options: MigrationOptions) -> bool:
    """Drop the index, if there is one; whether there was one."""
    return await _all_or_nothing(partial(_drop_all, connection), connection, options, "drop")


async def _find_all(runner: Runner) -> list[asyncpg.Record]:
    return await QUERIES["process_state_index"].fetch(runner)


async def _wait_for_commit(connection: asyncpg.Connection) -> None:
    """Wait while the commit of an index that others have created is under way."""
    end = anyio.current_time() + _COMMITTED_WITHIN
    while await QUERIES["process_state_index_pending"].fetchval(connection):
        if anyio.current_time() >= end:
            return
        await anyio.sleep(_LOOK_AGAIN)


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
