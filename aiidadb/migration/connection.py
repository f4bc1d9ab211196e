"""The one connection that migrates: outside every pool, its session set up for the steps."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.uninterrupted import clean_up_after, uninterrupted
from aiidadb.exceptions import (
    PermissionDenied,
    ReadOnlyDatabase,
    StorageMigrationError,
    translate,
)
from aiidadb.migration.migration_lock import take_lock
from aiidadb.migration.transaction import DRIVER_ERRORS
from aiidadb.sql import QUERIES
from aiidadb.version.database_version import find_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import asyncpg

    from aiidadb.connecting.profiles.profile import Profile

__all__ = [
    "MINIMAL_SERVER",
    "SESSION_SETTINGS",
    "migrating_connection",
    "session_of_a_migration",
]

MINIMAL_SERVER: Final = 13
"""The first PostgreSQL with ``gen_random_uuid()``."""

SESSION_SETTINGS: Final[Mapping[str, str]] = {
    # Rows that a policy would hide are an error, not rows to be skipped.
    "row_security": "off",
    # SQL files mean what they say, whatever settings an old application once needed.
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    # A step has no time limit; one that copies files leaves its transaction idle meanwhile.
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    # A change that waits for a reader keeps all later readers waiting too: it gives way, and the
    # runner tries again. Not before it has waited for `deadlock_timeout`, which is when an
    # autovacuum is made to give way: otherwise the migration would have to wait for it, however
    # long it takes.
    "lock_timeout": "1500ms",
    "default_transaction_isolation": "read committed",
    # What is reported as committed is on the disk: files are cleared away on the strength of it.
    "synchronous_commit": "on",
    # What is wrong with a function shows where it is called. To check it when it is made as well
    # takes four times as long.
    "check_function_bodies": "off",
    # The index of a smaller table is made before a parallel worker has started, of which there
    # would be one for each index.
    "min_parallel_table_scan_size": "32MB",
    # Text of dates and floats is the same on every server.
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "extra_float_digits": "1",
}
"""What each migrating session sets, where the server knows the setting.

Beside these, the ``search_path`` is that schema alone which holds AiiDA's tables: the steps name
tables without a schema, and a table of the same name elsewhere does not concern them.
"""

_CLOSE_TIMEOUT: Final = 10.0


@contextlib.asynccontextmanager
async def migrating_connection(
    profile: Profile,
    options: Mapping[str, Any] | None = None,
    *,
    patience: float,
    waiting: Callable[[str], None],
    command: str = "migrate",
) -> AsyncIterator[asyncpg.Connection]:
    """A connection of its own that holds the database's migration lock.

    Args:
        profile: The database.
        options: How to connect, beside what the profile says, as for a pool.
        patience: How many seconds to wait for another process that has the lock.
        waiting: Receives, while waiting, what for.
        command: The command that the name of the session shows to others.

    Yields:
        The connection. It is closed at the end whatever happens, which gives the lock back; what
        was not committed is undone, and a statement that still runs is cancelled.

    Raises:
        LockTimeout: Another process kept the lock; the message says who.
        AiidaDbError: As :func:`session_of_a_migration`.
    """
    async with session_of_a_migration(profile, options, command=command) as connection:
        await take_lock(connection, patience, waiting)
        yield connection


@contextlib.asynccontextmanager
async def session_of_a_migration(
    profile: Profile, options: Mapping[str, Any] | None = None, *, command: str = "migrate"
) -> AsyncIterator[asyncpg.Connection]:
    """A connection of its own, made as a migration's, that does not keep others out.

    Args:
        profile: The database.
        options: How to connect, beside what the profile says, as for a pool.
        command: The command that the name of the session shows to others.

    Yields:
        The connection, closed at the end whatever happens.

    Raises:
        StorageMigrationError: The server is too old, or reached through a connection pooler; the
            role's ``search_path`` leads to no schema.
        IncompatibleStorageSchema: AiiDA's tables are in several schemas.
        ReadOnlyDatabase: The server does not accept writes.
        PermissionDenied: The role may not make the temporary functions that steps use.
        DatabaseError: The server cannot be reached, or refuses.
    """
    name = f"aiidadb {command}, process {os.getpid()} on {socket.gethostname()}"
    given = dict(options or {})
    settings = {**(given.pop("server_settings", None) or {}), "application_name": name[:63]}
    connection = await connect(profile, **given, server_settings=settings)
    try:
        schema = await _check_server(connection, await _find_schema(connection))
        await _prepare_session(connection, schema)
        yield connection
    except BaseException as error:
        # Closing is what cancels a running statement and undoes the rest.
        await clean_up_after(
            error, _close(connection), within=_CLOSE_TIMEOUT, give_up=connection.terminate
        )
        if isinstance(error, DRIVER_ERRORS):
            raise translate(error) or error from error
        raise
    else:
        await uninterrupted(_close(connection), within=_CLOSE_TIMEOUT, give_up=connection.terminate)


async def _close(connection: asyncpg.Connection) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            # The server ends the session some time after this side has closed it. Until then, the
            # lock would be taken for whoever comes next, perhaps with no patience.
            with contextlib.suppress(Exception):
                await QUERIES["migration_unlock"].execute(connection)
            await connection.close()
    connection.terminate()


async def _find_schema(connection: asyncpg.Connection) -> str:
    schema = await find_schema(connection)
    if schema is None:
        raise StorageMigrationError(
            "none of the schemas in the role's search_path is there: create one with "
            "`create schema …`, or set another search_path"
        )
    return schema


async def _check_server(connection: asyncpg.Connection, schema: str) -> str:
    """Refuse what cannot be migrated; returns the schema's name as it is written in SQL."""
    version = connection.get_server_version()
    if version.major < MINIMAL_SERVER:
        raise StorageMigrationError(
            f"the server is PostgreSQL {version.major}.{version.minor}, and migrating needs "
            f"{MINIMAL_SERVER} or newer: upgrade the server first (pg_upgrade, or dump and restore)"
        )
    server = await QUERIES["migration_server"].fetchrow(connection, schema)
    assert server is not None
    # A pooler gives its clients a number of its own; behind one, two transactions may be served
    # by two sessions, and a lock may outlive the client.
    if server["backend_pid"] != connection.get_server_pid():
        raise StorageMigrationError(
            "the server is reached through a connection pooler (such as PgBouncer), where the lock "
            "that keeps a second migration out does not work: connect to the server itself"
        )
    if server["read_only"]:
        raise ReadOnlyDatabase(
            "the server or the role does not accept writes (a standby, or "
            "default_transaction_read_only): connect to the primary, as a role that may write, to "
            "migrate",
            sqlstate="25006",
        )
    if not server["may_make_temporary"] or not server["may_create"]:
        missing = (
            f"create on schema {server['schema']}"
            if server["may_make_temporary"]
            else f"temporary on database {server['database']}"
        )
        raise PermissionDenied(
            f"the role {server['role']} may not change the schema: connect as the role that owns "
            f"AiiDA's tables; if it already is that role, run `grant {missing} to "
            f"{server['role']}`",
            sqlstate="42501",
        )
    return str(server["schema"])


async def _prepare_session(connection: asyncpg.Connection, schema: str) -> None:
    settings = {**SESSION_SETTINGS, "search_path": schema}
    await QUERIES["migration_session"].fetch(
        connection,
        list(settings.keys()),
        list(settings.values()),
    )
    await QUERIES["migration_lock_timeout"].fetch(connection)
