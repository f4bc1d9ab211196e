"""Whether another process has migrated a database since a backend was opened.

A backend finds out the version once. It does not learn of a later migration, and to look before
each call would cost a round trip. So it looks where something is odd: where the server does not
know a table or a column, or has another type for it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from asyncpg.exceptions import OutdatedSchemaCacheError

from aiidadb.connecting.opening.connection import connect
from aiidadb.exceptions import IncompatibleStorageSchema
from aiidadb.version.database_version import read_bookkeeping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.connecting.profiles.profile import Profile
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["LOOK_TIMEOUT", "is_sign_of_migration", "migrated", "read_version_apart"]

LOOK_TIMEOUT: Final = 5.0
"""Seconds for finding out the version; a migration may have the tables locked."""

_SIGNS: Final = (
    asyncpg.DatatypeMismatchError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedTableError,
    OutdatedSchemaCacheError,
)


def is_sign_of_migration(error: Exception) -> bool:
    """Whether an error of ours has a cause that another schema would explain."""
    return isinstance(error.__cause__, _SIGNS)


async def read_version_apart(profile: Profile, options: Mapping[str, Any]) -> SchemaVersion:
    """The version, over a connection of its own: for inside a transaction that has failed.

    Args:
        profile: The database.
        options: How to connect, beside what the profile says, as for a pool.
    """
    connection = await connect(profile, **options)
    try:
        return (await read_bookkeeping(connection)).version()
    finally:
        with contextlib.suppress(Exception):
            await connection.close(timeout=LOOK_TIMEOUT)


def migrated(version: SchemaVersion) -> IncompatibleStorageSchema:
    """The error for a backend that was opened at another version."""
    return IncompatibleStorageSchema(
        f"the database was migrated to {version} since this backend was opened",
        advice="open it again",
    )
