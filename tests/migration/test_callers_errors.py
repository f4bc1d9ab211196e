"""What the caller's function for progress raises comes out of a migration as it went in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

import aiidadb

if TYPE_CHECKING:
    from tests.helpers.old_database import OldDatabase


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("the caller's own"),
        ConnectionResetError("the caller's own"),
        TimeoutError("the caller's own"),
        asyncpg.LockNotAvailableError("the caller's own"),
        asyncpg.InterfaceError("the caller's own"),
        asyncpg.UniqueViolationError("the caller's own"),
        aiidadb.AiidaDbError("the caller's own"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_out_of_a_migration_comes_what_its_progress_raised(
    old: OldDatabase, error: Exception
) -> None:
    def progress(told: aiidadb.MigrationProgress) -> None:
        if "changing" in told.what:
            raise error

    profile = aiidadb.Profile.from_dsn(old.dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        with pytest.raises(type(error)) as raised:
            await backend.schema.migrate("1.0.2", progress=progress)
        assert raised.value is error
        assert not hasattr(error, "__notes__")
        assert str(backend.version) == "1.0.1"
