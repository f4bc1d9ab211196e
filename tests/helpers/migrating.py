"""Migrates a database that has no files to care for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiidadb

if TYPE_CHECKING:
    from aiidadb.migration.report import MigrationReport

__all__ = ["migrate"]


async def migrate(
    dsn: str | aiidadb.Profile, target: str | None = None, **options: object
) -> MigrationReport:
    """Migrate a database without files; options go to ``SchemaManager.migrate``."""
    profile = dsn if isinstance(dsn, aiidadb.Profile) else aiidadb.Profile.from_dsn(dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        return await backend.schema.migrate(target, without_repository=True, **options)
