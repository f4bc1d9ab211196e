"""AiiDA's schema, made in an empty database, with the container of files that belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.connecting.uninterrupted import clean_up_after, in_thread
from aiidadb.exceptions import DatabaseNotEmpty, SchemaError
from aiidadb.messages import plural
from aiidadb.migration.repository.container import (
    container_path,
    create_container,
    discard_container,
)
from aiidadb.migration.transaction import atomic
from aiidadb.sql import QUERIES, SCHEMAS
from aiidadb.version.advice import advice_to_migrate
from aiidadb.version.database_version import read_bookkeeping
from aiidadb.version.schema_version import MAIN_HEAD, head_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["make_schema"]

_NAMED_AT_MOST: Final = 5

_CONTAINER_SETTING: Final = "repository|uuid"
"""The key of the setting that ties a database of AiiDA 2.x to its container."""


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
        DatabaseNotEmpty: There are tables already; the message says what can be done.
        MissingExtraError: The extra for containers is not installed.
        RepositoryError: The container cannot be made.
        UnknownOutcome: The connection was lost during the commit; the container stays.
    """
    await _refuse_tables(connection, version)
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


async def _refuse_tables(connection: asyncpg.Connection, asked: SchemaVersion) -> None:
    bookkeeping = await read_bookkeeping(connection)
    if bookkeeping.is_empty:
        return
    try:
        version = bookkeeping.version()
    except SchemaError:  # it is not AiiDA's, or contradicts itself
        raise _not_empty(sorted(bookkeeping.tables)) from None
    raise await _is_aiidas(connection, version, asked)


def _not_empty(tables: Sequence[str]) -> DatabaseNotEmpty:
    names = ", ".join(tables[:_NAMED_AT_MOST]) + (", …" if len(tables) > _NAMED_AT_MOST else "")
    return DatabaseNotEmpty(
        "a new schema can be created only in an empty database, and this one has "
        f"{plural(len(tables), 'table')} ({names})",
        advice="name another database, or, if nothing in this one is needed, drop it and create it "
        "again",
    )


async def _is_aiidas(
    connection: asyncpg.Connection, version: SchemaVersion, asked: SchemaVersion
) -> DatabaseNotEmpty:
    found = f"this is an AiiDA database of version {version} already"
    if version != asked:
        if version == MAIN_HEAD or version > head_for(version):
            return DatabaseNotEmpty(found, advice="name another database")
        return DatabaseNotEmpty(found, **advice_to_migrate())
    has_container = version.line != "main" or await QUERIES["setting_get"].fetch(
        connection, _CONTAINER_SETTING
    )
    if has_container:
        return DatabaseNotEmpty(f"{found}: there is nothing to do")
    anew = "if nothing in it is needed, drop it, create it again, and"
    return DatabaseNotEmpty(
        f"{found}, but has no file container, without which AiiDA does not open it",
        advice=f"{anew} call initialise() with a profile that has a repository",
        command_advice=f"{anew} run aiidadb init with --repository DIRECTORY",
    )
