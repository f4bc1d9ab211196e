"""Migrates a database through the public face, and looks at what it notes of its version."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import asyncpg
import pytest

import aiidadb
from tests.helpers.databases import connected
from tests.helpers.old_database import state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiidadb.migration.report import MigrationReport

__all__ = ["migrate", "noted", "opened", "refused_and_left"]


@contextlib.asynccontextmanager
async def opened(
    database: str | aiidadb.Profile, repository: Path | None = None
) -> AsyncIterator[aiidadb.Backend]:
    """A backend of a database of any version."""
    if isinstance(database, str):
        database = aiidadb.Profile.from_dsn(database, repository=repository)
    async with aiidadb.open_backend(database, schema_check=False) as backend:
        yield backend


async def migrate(
    database: str | aiidadb.Profile,
    target: str | None = None,
    *,
    repository: Path | None = None,
    **options: object,
) -> MigrationReport:
    """Migrate a database, without files to care for where no repository is named.

    Args:
        database: Its DSN, or its profile.
        target: As for ``SchemaManager.migrate``.
        repository: Where its files are.
        options: As for ``SchemaManager.migrate``.
    """
    options.setdefault("without_repository", repository is None)
    async with opened(database, repository) as backend:
        return await backend.schema.migrate(target, **options)


async def noted(dsn: str) -> dict[str, object]:
    """The bookkeeping as it is in the tables."""
    async with connected(dsn) as connection:
        found: dict[str, object] = {}
        for name, query in (
            ("steps", "select array_agg(name order by id) from django_migrations where app = 'db'"),
            ("revision", "select array_agg(version_num) from alembic_version"),
        ):
            try:
                found[name] = await connection.fetchval(query)
            except asyncpg.UndefinedTableError:
                found[name] = None
        setting = "select to_jsonb(s) from db_dbsetting as s where key = 'db|schemaversion'"
        found["setting"] = json.loads(await connection.fetchval(setting) or "null")
        return found


async def refused_and_left(dsn: str, error: type[Exception], message: str) -> None:
    """Plan and migration of a database raise an error, and nothing of it is changed."""
    before = await state_of(dsn), await noted(dsn)
    async with opened(dsn) as backend:
        for call in (backend.schema.plan, backend.schema.migrate):
            with pytest.raises(error, match=message):
                await call()
    assert (await state_of(dsn), await noted(dsn)) == before
