"""A database with a uuid given twice is refused, and the advice that it gets works."""

import uuid

import pytest

import aiidadb
from aiidadb.exceptions import InvalidInputError, NotExistent, StorageMigrationError
from tests.helpers.old_nodes import add_node
from tests.helpers.single_steps import database_at


@pytest.mark.parametrize("version", [8, 13])
async def test_doubles_are_refused_then_given_new_uuids_then_migrated(databases, version):
    dsn = await database_at(databases, version)
    profile = aiidadb.Profile.from_dsn(dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        async with backend.connection() as connection:
            first, text = await add_node(connection)
            second, _ = await add_node(connection, uuid=text)
        twice, new = uuid.UUID(text), uuid.uuid4()
        with pytest.raises(StorageMigrationError, match="apply_new_uuid_mapping"):
            await backend.schema.migrate("1.0.45", without_repository=True)
        queries = backend.queries
        assert await queries.get_duplicate_uuids("db_dbnode") == [(first, twice), (second, twice)]
        with pytest.raises(NotExistent, match="1000000"):
            await queries.apply_new_uuid_mapping("db_dbnode", {second: new, 10**6: uuid.uuid4()})
        with pytest.raises(InvalidInputError):
            await queries.apply_new_uuid_mapping("db_dbnode", {second: "no uuid"})
        await queries.apply_new_uuid_mapping("db_dbnode", {second: new})
        assert await queries.get_duplicate_uuids("db_dbnode") == []
        report = await backend.schema.migrate("1.0.45", without_repository=True)
        assert str(report.version) == "1.0.45"
        rows = await backend._session.fetch("select id, uuid::text from db_dbnode order by id")
        assert [tuple(row) for row in rows] == [(first, text), (second, str(new))]
    await databases.drop(dsn)


@pytest.mark.parametrize(
    "spelled",
    [str.upper, lambda text: text.replace("-", ""), lambda text: f"{{{text.replace('-', '')}}}"],
    ids=["capitals", "without dashes", "in braces"],
)
async def test_doubles_in_another_spelling_are_found_by_both(databases, spelled):
    dsn = await database_at(databases, 17)
    profile = aiidadb.Profile.from_dsn(dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        async with backend.connection() as connection:
            first, text = await add_node(connection)
            second, _ = await add_node(connection)
            await connection.execute(
                "update db_dbnode set uuid = $1::text where id = $2::int", spelled(text), second
            )
        twice = uuid.UUID(text)
        queries = backend.queries
        assert await queries.get_duplicate_uuids("db_dbnode") == [(first, twice), (second, twice)]
        (finding,) = (await backend.schema.check("1.0.18")).findings
        assert (finding.code, finding.pks) == ("repeated_node_uuid", (first, second))
    await databases.drop(dsn)
