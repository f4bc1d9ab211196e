"""AiiDA's schema, made in an empty database, with the container of files that belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from aiidadb.connecting.uninterrupted import clean_up_after, in_thread
from aiidadb.exceptions import DatabaseNotEmpty
from aiidadb.messages import plural
from aiidadb.migration.repository.container import (
    container_path,
    create_container,
    discard_container,
)
from aiidadb.migration.transaction import atomic
from aiidadb.sql import QUERIES, SCHEMAS
from aiidadb.version.database_version import read_bookkeeping

if TYPE_CHECKING:
    from pathlib import Path

    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["make_schema"]

_NAMED_AT_MOST = 5


async def make_schema(
    connection: asyncpg.Connection, version: SchemaVersion, repository: Path | None
) -> None:
    """Make the schema, all of it or nothing.

    Database and container cannot commit together: the container is made last before the commit,
    so that hardly anything can fail after it, and is removed again if something does.

    Args:
        connection: From :func:`aiidadb.migration.connection.migrating_connection`.
        version: A head, for which there is a file in ``sql/schema/``.
        repository: Where to make a container, or None.

    Raises:
        DatabaseNotEmpty: There are tables already.
        MissingExtraError: The extra for containers is not installed.
        RepositoryError: The container cannot be made.
        UnknownOutcome: The connection was lost during the commit; the container stays.
    """
    await _refuse_tables(connection)
    made: list[str] = []
    is_sent = False
    remove = "" if repository is None else f"remove {container_path(repository)} and "
    advice = f"check whether it does, and if it is empty, {remove}run again"
    try:
        async with atomic(connection, "the new schema", advice):
            await connection.execute(SCHEMAS[version.schema_name])
            if repository is not None:
                # Noted by the thread, which runs to its end even where this is cancelled.
                await in_thread(lambda: made.append(create_container(repository)))
                await QUERIES["repository_uuid_write"].execute(connection, made[0])
            is_sent = True
    except BaseException as error:
        # Once COMMIT was sent, only the server's answer says that the database has no schema.
        if made and repository and (not is_sent or isinstance(error, asyncpg.PostgresError)):
            discarding = in_thread(discard_container, repository, made[0])
            await clean_up_after(error, discarding, within=None)
        raise


async def _refuse_tables(connection: asyncpg.Connection) -> None:
    tables = sorted((await read_bookkeeping(connection)).tables)
    if tables:
        names = ", ".join(tables[:_NAMED_AT_MOST]) + (", …" if len(tables) > _NAMED_AT_MOST else "")
        message = (
            "a new schema can be created only in an empty database, and this one has "
            f"{plural(len(tables), 'table')} ({names})"
        )
        advice = (
            "name another database, or, if nothing in this one is needed, drop it and create it "
            "again; an older AiiDA database is brought up to date with `aiidadb migrate`"
        )
        raise DatabaseNotEmpty(
            message,
            advice=f"{advice} or backend.schema.migrate()",
            command_advice=advice,
        )
