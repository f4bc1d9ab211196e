"""AiiDA's tables are in one schema: that in which the role's search_path finds its nodes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import pytest

import aiidadb
from aiidadb.connecting.opening.connection import connect
from aiidadb.demo.campaign import fill_with_campaign
from aiidadb.exceptions import (
    DatabaseNotEmpty,
    IncompatibleStorageSchema,
    NotAnAiidaDatabase,
    StorageMigrationError,
)
from aiidadb.sql import SCHEMAS
from tests.helpers.campaigns import NODES, make_campaign
from tests.helpers.databases import Databases, clone_of_schema, fetchval, run_script
from tests.helpers.migrating import migrate, opened
from tests.helpers.old_database import make_old_database, state_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of steps go to the current directory."""
    monkeypatch.chdir(tmp_path)


def quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


async def lead_to(dsn: str, *schemas: str) -> None:
    """Set the search_path of all who connect to a database."""
    path = ", ".join(map(quoted, schemas))
    await run_script(dsn, f'alter database "{urlsplit(dsn).path[1:]}" set search_path = {path}')


async def move_to(dsn: str, schema: str) -> None:
    """Rename the schema that holds AiiDA's tables, and leave an empty one in its place."""
    await run_script(dsn, f"alter schema public rename to {quoted(schema)}; create schema public")


async def tables_in(dsn: str, schema: str) -> object:
    return await fetchval(dsn, "select count(*) from pg_tables where schemaname = $1", schema)


async def nodes_in(dsn: str, schema: str) -> object:
    return await fetchval(dsn, f"select count(*) from {quoted(schema)}.db_dbnode")


@pytest.mark.parametrize("schema", ["aiida", 'Ai i"DA'])
async def test_a_database_in_another_schema_goes_all_the_way(
    databases: Databases, tmp_path: Path, schema: str
) -> None:
    old = await make_old_database(databases, tmp_path / "repository")
    usual = await make_old_database(databases, tmp_path / "usual")
    await move_to(old.dsn, schema)
    await lead_to(old.dsn, schema, "public")
    async with opened(old.dsn, old.repository) as backend:
        plan = await backend.schema.plan()
        assert plan.schema == schema
        assert plan.steps[1].rows == 9
        await backend.schema.migrate(dry_run=True)
        await backend.schema.migrate(export_directory=tmp_path)
        assert (await backend.queries.get_creation_statistics())["total"] == 10
    assert await tables_in(old.dsn, "public") == 0
    await run_script(old.dsn, f"drop schema public; alter schema {quoted(schema)} rename to public")
    await lead_to(old.dsn, "public")
    await migrate(usual.dsn, repository=usual.repository, export_directory=tmp_path)
    ours, theirs = await state_of(old.dsn), await state_of(usual.dsn)
    assert ours == theirs
    for dsn in (old.dsn, usual.dsn):
        await databases.drop(dsn)


async def test_the_sql_of_a_plan_leads_to_the_schema_by_itself(
    databases: Databases, tmp_path: Path
) -> None:
    old = await make_old_database(databases, tmp_path / "repository")
    await move_to(old.dsn, "Ai iDA")
    await lead_to(old.dsn, "Ai iDA")
    async with opened(old.dsn) as backend:
        script = (await backend.schema.plan("1.0.19")).sql()
    await lead_to(old.dsn, "public")
    await run_script(old.dsn, script)
    await lead_to(old.dsn, "Ai iDA")
    async with opened(old.dsn) as backend:
        assert str(backend.version) == "1.0.19"
    await databases.drop(old.dsn)


async def with_an_older_copy(databases: Databases, schema: str) -> str:
    """A database of the main line in ``public``, and one of the other line in another schema."""
    dsn = await make_campaign(databases, "django_0045")
    await move_to(dsn, schema)
    await run_script(dsn, f"set search_path = public; {SCHEMAS['main_0002']}")
    settings = {"search_path": "public"}
    connection = await connect(aiidadb.Profile.from_dsn(dsn), server_settings=settings)
    try:
        await fill_with_campaign(connection, nodes=NODES - 200)
    finally:
        await connection.close()
    return dsn


@pytest.mark.parametrize("is_the_role_s", [True, False])
async def test_a_copy_in_the_schema_of_the_role_s_name_is_the_database_or_is_not_looked_at(
    databases: Databases, is_the_role_s: bool
) -> None:
    """PostgreSQL's own search_path leads to the schema of the role's name first."""
    role = str(await fetchval(databases.server_dsn, "select current_user"))
    copy = role if is_the_role_s else "copy"
    dsn = await with_an_older_copy(databases, copy)
    here, there = (copy, "public") if is_the_role_s else ("public", copy)
    version = "1.0.45" if is_the_role_s else "main_0002"
    number, others = await nodes_in(dsn, here), await nodes_in(dsn, there)
    assert number != others
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        assert str(backend.version) == version
        assert str(await backend.schema.get_schema_version_database()) == version
        await backend.schema.validate_schema()
        assert (await backend.queries.get_creation_statistics())["total"] == number
        pk = int(str(await fetchval(dsn, f"select max(id) from {quoted(here)}.db_dbnode")))
        assert (await backend.delete_nodes_and_connections([pk])).nodes == 1
        assert (await nodes_in(dsn, here), await nodes_in(dsn, there)) == (number - 1, others)
        await backend.schema.set_schema_version_database(version)
        await backend.schema.migrate(without_repository=True)
        assert str(backend.version) == "main_0002"
    tables = "select count(*) from pg_tables where schemaname = $1 and tablename = $2"
    assert await fetchval(dsn, tables, here, "django_migrations") == 0
    assert await fetchval(dsn, tables, there, "django_migrations") == (not is_the_role_s)
    assert await nodes_in(dsn, there) == others
    await databases.drop(dsn)


async def test_a_role_s_own_search_path_is_followed(databases: Databases, main_dsn: str) -> None:
    role = f"aiidadb_test_{secrets.token_hex(4)}"
    await move_to(main_dsn, "aiida")
    await run_script(
        main_dsn,
        f"""
        create role {role} login;
        grant usage on schema aiida to {role};
        grant select, insert, update, delete on all tables in schema aiida to {role};
        grant usage on all sequences in schema aiida to {role};
        """,
    )
    parts = urlsplit(main_dsn)
    dsn = urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))
    try:
        with pytest.raises(
            NotAnAiidaDatabase, match=r"schema 'aiida'.*\"\$user\", public.*alter role"
        ):
            async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)):
                pass
        await run_script(main_dsn, f"alter role {role} set search_path = aiida")
        async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
            await backend.settings.set("answer", 42)
            assert (await backend.settings.get("answer")).value == 42
            assert (await backend.queries.get_creation_statistics())["total"] == 0
        await run_script(main_dsn, f"revoke select on aiida.alembic_version from {role}")
        with pytest.raises(aiidadb.PermissionDenied, match="alembic_version"):
            async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)):
                pass
    finally:
        await run_script(main_dsn, f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize(
    ("script", "table", "found_in"),
    [
        ("create table mine.db_dblink as table public.db_dblink", "db_dblink", "mine"),
        ("alter table public.db_dbsetting set schema mine", "db_dbsetting", "mine"),
        ("alter table public.db_dblink set schema behind", "db_dblink", "behind"),
        ("alter table public.alembic_version set schema behind", "alembic_version", "behind"),
        ("create table mine.alembic_version (version_num text)", "alembic_version", "mine"),
        ("create table mine.db_dbnode as table public.db_dbnode", "alembic_version", "public"),
    ],
)
async def test_tables_in_several_schemas_are_refused_before_anything_is_read(
    main_dsn: str, script: str, table: str, found_in: str
) -> None:
    await run_script(main_dsn, f"create schema mine; create schema behind; {script}")
    await lead_to(main_dsn, "mine", "public", "behind")
    nodes = "mine" if "mine.db_dbnode" in script else "public"
    message = f"db_dbnode in '{nodes}', but {table} in '{found_in}'"
    for schema_check in (True, False):
        with pytest.raises(IncompatibleStorageSchema, match=message):
            async with aiidadb.open_backend(
                aiidadb.Profile.from_dsn(main_dsn), schema_check=schema_check
            ):
                pass


async def test_nothing_is_migrated_where_tables_came_to_be_in_several_schemas(
    databases: Databases, tmp_path: Path
) -> None:
    old = await make_old_database(databases, tmp_path / "repository")
    async with opened(old.dsn) as backend:
        await run_script(old.dsn, "create schema behind; alter table db_dblink set schema behind")
        await lead_to(old.dsn, "public", "behind")
        await backend.settings._session.pool.expire_connections()
        for call in (backend.schema.plan, backend.schema.migrate):
            with pytest.raises(IncompatibleStorageSchema, match="db_dblink in 'behind'"):
                await call()
    await databases.drop(old.dsn)


async def test_another_application_s_alembic_version_is_not_aiidas(databases: Databases) -> None:
    dsn = await clone_of_schema(databases, "django_0045")
    await move_to(dsn, "aiida")
    await run_script(
        dsn,
        """
        create table public.alembic_version (version_num text);
        insert into public.alembic_version values ('3a5b9c7d1e2f');
        """,
    )
    await lead_to(dsn, "aiida", "public")
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        assert str(backend.version) == "1.0.45"
        await backend.schema.migrate(without_repository=True)
        await backend.schema.validate_schema()
    for schema, revision in (("public", "3a5b9c7d1e2f"), ("aiida", "main_0002")):
        query = f"select version_num from {schema}.alembic_version"
        assert await fetchval(dsn, query) == revision
    await databases.drop(dsn)


@pytest.mark.parametrize("version", ["1.0.45", "main_0002"])
async def test_a_new_database_is_made_where_postgresql_makes_new_tables(
    empty_dsn: str, version: str
) -> None:
    await run_script(empty_dsn, "create table alembic_version (id int); create schema fresh")
    await lead_to(empty_dsn, "nowhere", "fresh", "public")
    async with opened(empty_dsn) as backend:
        with pytest.raises(NotAnAiidaDatabase, match=r"'fresh'.*initialise"):
            await backend.schema.get_schema_version_database()
        await backend.schema.initialise(version)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(empty_dsn)) as backend:
        assert str(backend.version) == version
        await backend.schema.validate_schema()
    assert await nodes_in(empty_dsn, "fresh") == 0
    assert await tables_in(empty_dsn, "public") == 1


async def test_no_second_database_is_made_in_front_of_one_that_is_there(main_dsn: str) -> None:
    await run_script(main_dsn, "create schema fresh")
    await lead_to(main_dsn, "fresh", "public")
    async with opened(main_dsn) as backend:
        with pytest.raises(DatabaseNotEmpty):
            await backend.schema.initialise()


async def test_a_search_path_that_leads_nowhere_is_told(empty_dsn: str) -> None:
    await lead_to(empty_dsn, "nowhere")
    async with opened(empty_dsn) as backend:
        with pytest.raises(NotAnAiidaDatabase, match=r"search_path \(nowhere\) is there"):
            await backend.schema.get_schema_version_database()
        with pytest.raises(StorageMigrationError, match="create schema"):
            await backend.schema.initialise()


@pytest.mark.parametrize(
    ("schemas", "message"),
    [
        (
            ("ada",),
            r"in the schema 'ada', which .* does not include: set it to it with `alter role",
        ),
        (("ada", "eve"), r"in the schemas 'ada' and 'eve', which .* set it to one of them with `"),
    ],
)
async def test_where_the_tables_are_hidden_is_told(
    empty_dsn: str, schemas: tuple[str, ...], message: str
) -> None:
    for schema in schemas:
        await run_script(
            empty_dsn, f"create schema {schema}; create table {schema}.db_dbnode (id int)"
        )
    async with opened(empty_dsn) as backend:
        with pytest.raises(NotAnAiidaDatabase, match=message):
            await backend.schema.get_schema_version_database()
