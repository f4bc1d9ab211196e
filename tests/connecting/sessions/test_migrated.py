"""A backend whose database another process has migrated since it was opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from pypika import Query, Table

import aiidadb
from aiidadb.connecting.sessions import migrated
from aiidadb.criteria.tables import nodes
from aiidadb.exceptions import DatabaseError, IncompatibleStorageSchema
from tests.helpers.campaigns import make_campaign
from tests.helpers.migrating import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.helpers.databases import Databases

computers = Table("db_dbcomputer")
TOLD = r"migrated to main_0002 since this backend was opened: open it again"


@pytest_asyncio.fixture
async def old(databases: Databases) -> AsyncIterator[str]:
    """A database of the django line's head, with nodes."""
    dsn = await make_campaign(databases, "django_0045")
    yield dsn
    await databases.drop(dsn)


async def migrate_elsewhere(dsn: str) -> None:
    """As another process would: by a profile of its own, so that nothing here learns of it."""
    await migrate(aiidadb.Profile.from_dsn(dsn, name="another process"))


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_column_that_is_no_longer_there_tells_of_the_migration(
    old: str, in_transaction: bool
) -> None:
    names = Query.from_(computers).select(computers.name)
    profile = aiidadb.Profile.from_dsn(old)
    async with aiidadb.open_backend(profile, max_size=1, acquire_timeout=2) as backend:
        assert await backend.queries.fetch(names)
        await migrate_elsewhere(old)
        with pytest.raises(IncompatibleStorageSchema, match=TOLD):
            if in_transaction:
                async with backend.transaction():
                    await backend.queries.fetch(names)
            else:
                await backend.queries.fetch(names)
        # What needs nothing that has changed goes on.
        await backend.settings.set("answer", 42)
    async with aiidadb.open_backend(profile) as backend:
        labels = await backend.queries.fetch(Query.from_(computers).select(computers.label))
        assert labels


async def test_an_error_that_no_migration_explains_stays_what_it_is(
    main_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Query.from_(nodes).select(nodes.no_such_column)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        for _ in range(2):
            with pytest.raises(DatabaseError, match="no_such_column does not exist"):
                await backend.queries.fetch(wrong)
            with pytest.raises(DatabaseError, match="no_such_column does not exist"):
                async with backend.transaction():
                    await backend.queries.fetch(wrong)

        async def fail(*_: object) -> None:
            raise OSError("the server is gone")

        monkeypatch.setattr(migrated, "connect", fail)
        with pytest.raises(DatabaseError, match="no_such_column does not exist"):
            async with backend.transaction():
                await backend.queries.fetch(wrong)


async def test_nodes_that_are_no_longer_found_tell_of_the_migration(old: str) -> None:
    profile = aiidadb.Profile.from_dsn(old)
    structure = "data.structure.StructureData."
    async with aiidadb.open_backend(profile) as backend:
        bands = [
            row.pk for row in await backend.queries.get_bands_and_parents_structure(all_users=True)
        ]
        assert await backend.queries.get_closest_parents(bands, node_type=structure)
        # Where nothing has changed an empty answer is one.
        assert await backend.queries.get_closest_parents(bands, node_type="nothing.") == {}
        await migrate_elsewhere(old)
        with pytest.raises(IncompatibleStorageSchema, match=TOLD):
            await backend.queries.get_closest_parents(bands, node_type=structure)
        with pytest.raises(IncompatibleStorageSchema, match=TOLD):
            await backend.queries.get_bands_and_parents_structure(all_users=True)


async def test_what_goes_well_costs_no_question_more(main_dsn: str) -> None:
    """The version is looked at where something is odd, and nowhere else."""
    statements: list[str] = []
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn), max_size=1) as backend:
        async with backend.connection() as connection:
            connection.add_query_logger(lambda record: statements.append(record.query))
        await backend.queries.get_closest_parents([1], node_type="data.core.int.Int.")
        await backend.queries.fetch(Query.from_(nodes).select(nodes.id))
        await backend.settings.get_all()
    assert len([text for text in statements if "search_path" in text]) == 0
