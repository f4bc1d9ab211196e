"""A database of every entity that aiida-core filled, read by aiida-core and by aiidadb."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest_asyncio

import aiidadb
from tests.helpers.aiida_storage import aiida_profile_dictionary, aiida_storage
from tests.helpers.query_world import fill_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiida.storage.psql_dos.backend import PsqlDosBackend

    from tests.helpers.databases import Databases


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def aiida_world_dsn(databases: Databases, process_name: str, aiida_home: Path) -> str:
    """The database; nothing in it is changed."""
    repository = aiida_home / "query_world"
    repository.mkdir(exist_ok=True)

    async def build(dsn: str) -> None:
        from aiida.manage.configuration import Profile
        from aiida.storage.psql_dos.backend import PsqlDosBackend

        profile = Profile("test", aiida_profile_dictionary(dsn, repository))
        await asyncio.to_thread(PsqlDosBackend.initialise, profile)
        storage = aiida_storage(dsn, repository)
        fill_world(storage)
        storage.get_session().close()
        storage.close()

    return await databases.create(await databases.template(f"world_{process_name}", build))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def aiida_world(aiida_world_dsn: str, aiida_home: Path) -> AsyncIterator[PsqlDosBackend]:
    """aiida-core's own storage of it."""
    storage = aiida_storage(aiida_world_dsn, aiida_home / "query_world")
    yield storage
    storage.get_session().close()
    storage.close()


@pytest_asyncio.fixture
async def world(aiida_world_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """It, opened by aiidadb."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_world_dsn)) as backend:
        yield backend
