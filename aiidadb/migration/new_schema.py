"""AiiDA's schema, made in an empty database, with the container of files that belongs to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from aiidadb.exceptions import DatabaseNotEmpty, UnknownOutcome
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

    import asyncpg

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
    try:
        async with atomic(connection, "the new schema"):
            await connection.execute(SCHEMAS[version.schema_name])
            if repository is not None:
                await _make_container(repository, made)
                await QUERIES["repository_uuid_write"].execute(connection, made[0])
    except UnknownOutcome as error:
        if repository is None:
            raise
        raise UnknownOutcome(
            "the connection was lost while the new schema was committed: look whether the database "
            f"has it; if it is empty, remove {container_path(repository)} and run again"
        ) from error
    except BaseException:
        if repository is not None and made:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(discard_container, repository, made[0])
        raise


async def _make_container(repository: Path, made: list[str]) -> None:
    """Add the id of a new container, also where this is cancelled meanwhile."""

    def make() -> None:
        made.append(create_container(repository))

    # A thread cannot be stopped, and asyncio's own cancellation does not wait for it.
    task = asyncio.ensure_future(to_thread.run_sync(make))
    try:
        await asyncio.shield(task)
    finally:
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])


async def _refuse_tables(connection: asyncpg.Connection) -> None:
    tables = sorted((await read_bookkeeping(connection)).tables)
    if tables:
        names = ", ".join(tables[:_NAMED_AT_MOST]) + (", …" if len(tables) > _NAMED_AT_MOST else "")
        raise DatabaseNotEmpty(
            "a new schema is made in an empty database only, and this one has "
            f"{len(tables)} tables ({names}): name another database; an older AiiDA database is "
            "brought up to date with `aiidadb migrate`"
        )
