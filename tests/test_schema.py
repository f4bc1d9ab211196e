"""Versions of schemas: what the database says, what the code says, and databases made new."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from typing import TYPE_CHECKING

import anyio
import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import (
    AiidaDbError,
    CorruptStorage,
    DatabaseNotEmpty,
    IncompatibleStorageSchema,
    InvalidInputError,
    InvalidTypeError,
    MissingExtraError,
    NotAnAiidaDatabase,
    RepositoryError,
    StorageMigrationError,
    UnknownOutcome,
    UnreachableStorage,
)
from aiidadb.migration import new_schema
from aiidadb.migration.repository import container
from aiidadb.version.schema_version import SchemaVersion
from tests.helpers.aiida_storage import aiida_storage
from tests.helpers.catalog import describe
from tests.helpers.databases import Databases, fetchval, run_script
from tests.helpers.faults import proxy
from tests.helpers.hostile import Array
from tests.helpers.real_databases import load_schema
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def opened(dsn: str, repository: Path | None = None, **options: object):
    profile = aiidadb.Profile.from_dsn(dsn, repository=repository)
    return aiidadb.open_backend(profile, schema_check=False, **options)


@pytest.mark.quick
@pytest.mark.parametrize("flag", ["dry_run", "repair", "without_repository"])
async def test_a_migrations_flag_that_is_neither_true_nor_false_is_refused(
    main_dsn: str, flag: str
) -> None:
    async with opened(main_dsn) as backend:
        with pytest.raises(InvalidTypeError, match=f"{flag} must be True or False"):
            await backend.schema.migrate(**{flag: Array()})


# ------------------------------------------------------------------ versions


@pytest.mark.parametrize("number", [1, 9, 36, 37, 44])
async def test_the_version_is_read_at_any_age_and_compared_as_one(
    databases: Databases, number: int
) -> None:
    dsn = await database_at(databases, number)
    async with opened(dsn) as backend:
        version = await backend.schema.get_schema_version_database()
        assert str(version) == f"1.0.{number}"
        # As text "1.0.9" comes after "1.0.45".
        assert version < await backend.schema.get_schema_version_code()
        assert str(await backend.schema.get_schema_version_code()) == "1.0.45"
        assert not await backend.schema.is_database_schema_ahead()
    await databases.drop(dsn)


@pytest.mark.parametrize(
    ("noted", "code"),
    [
        ("1.0.45", "1.0.45"),
        ("1.0.46", "main_0002"),
        ("1.0.49", "main_0002"),
        ("1.0.50", "main_0002"),
        ("main_0001", "main_0002"),
        ("main_0002", "main_0002"),
    ],
)
async def test_past_aiida_1_the_code_s_version_is_that_of_aiida_2(
    main_dsn: str, noted: str, code: str
) -> None:
    revision = SchemaVersion.parse(noted).schema_name
    await run_script(main_dsn, f"update alembic_version set version_num = '{revision}'")
    async with opened(main_dsn) as backend:
        assert str(await backend.schema.get_schema_version_database()) == noted
        assert str(await backend.schema.get_schema_version_code()) == code
        assert not await backend.schema.is_database_schema_ahead()


async def test_an_empty_database_has_no_version_and_should_have_the_newest(empty_dsn: str) -> None:
    async with opened(empty_dsn) as backend:
        with pytest.raises(NotAnAiidaDatabase, match="initialise"):
            await backend.schema.get_schema_version_database()
        with pytest.raises(NotAnAiidaDatabase, match="initialise"):
            await backend.schema.set_schema_version_database("1.0.45")
        assert str(await backend.schema.get_schema_version_code()) == "main_0002"


async def test_a_database_of_the_django_line_can_be_ahead(django_dsn: str) -> None:
    await run_script(
        django_dsn,
        """
        insert into django_migrations (app, name, applied)
        select 'db', '00' || number || '_step', now() from generate_series(46, 51) as number;
        update db_dbsetting set val = '"1.0.51"' where key = 'db|schemaversion'
        """,
    )
    async with opened(django_dsn) as backend:
        assert str(await backend.schema.get_schema_version_database()) == "1.0.51"
        assert await backend.schema.is_database_schema_ahead()
        with pytest.raises(IncompatibleStorageSchema, match=r"1\.0\.51.*ahead of 1\.0\.45"):
            await backend.schema.validate_schema()


async def test_a_database_of_the_main_line_can_be_ahead(main_dsn: str) -> None:
    await run_script(main_dsn, "update alembic_version set version_num = 'main_0010'")
    async with opened(main_dsn) as backend:
        assert await backend.schema.is_database_schema_ahead()
        with pytest.raises(IncompatibleStorageSchema, match=r"main_0010.*ahead of main_0002"):
            await backend.schema.validate_schema()


async def test_the_setting_of_aiida_s_own_step_0007_is_no_contradiction(
    databases: Databases,
) -> None:
    dsn = await database_at(databases, 7)
    await run_script(dsn, "update db_dbsetting set tval = '1.0.8' where key = 'db|schemaversion'")
    async with opened(dsn) as backend:
        assert str(backend.version) == "1.0.7"
        assert str(await backend.schema.get_schema_version_database()) == "1.0.7"
    await databases.drop(dsn)


async def test_a_role_that_may_only_read_is_told_the_version(
    databases: Databases, head_dsn: str
) -> None:
    role = f"aiidadb_test_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(head_dsn)
    await connection.execute(
        f"""
        create role {role};
        grant select on all tables in schema public to {role};
        """
    )
    try:
        options = {"server_settings": {"role": role, "default_transaction_read_only": "on"}}
        async with opened(head_dsn, **options) as backend:
            await backend.schema.validate_schema()
            await backend.schema.get_schema_generation_database()
            assert not await backend.schema.is_database_schema_ahead()
    finally:
        await connection.execute(f"drop owned by {role}; drop role {role}")
        await connection.close()


@pytest.mark.quick
async def test_validate_schema_accepts_the_heads_alone(django_dsn: str, main_dsn: str) -> None:
    for dsn, change, head in [
        (
            django_dsn,
            """
            delete from django_migrations where app = 'db' and name > '0045';
            update db_dbsetting set val = '"1.0.44"' where key = 'db|schemaversion'
            """,
            "1.0.45",
        ),
        (main_dsn, "update alembic_version set version_num = 'main_0001'", "main_0002"),
    ]:
        async with opened(dsn) as backend:
            await backend.schema.validate_schema()
            await run_script(dsn, change)
            advice = "bring it up to date with `aiidadb migrate`"
            match = rf"behind {head}: {advice}, or call backend\.schema\.migrate\(\)$"
            with pytest.raises(IncompatibleStorageSchema, match=match) as told:
                await backend.schema.validate_schema()
            assert told.value.for_command_line().endswith(f": {advice}")


async def test_validate_schema_refuses_notes_that_contradict_each_other(django_dsn: str) -> None:
    async with opened(django_dsn) as backend:
        await backend.schema.set_schema_version_database("1.0.44")
        # What AiiDA 1.x would believe, and what is the matter.
        assert str(await backend.schema.get_schema_version_database()) == "1.0.44"
        with pytest.raises(CorruptStorage, match=r"'1\.0\.44'.*0045_dbgroup_extras"):
            await backend.schema.validate_schema()


# ------------------------------------------------------------------ generation


async def test_the_generation_is_1_where_none_is_noted(databases: Databases, main_dsn: str) -> None:
    old = await database_at(databases, 8)
    for dsn in (old, main_dsn):
        async with opened(dsn) as backend:
            assert await backend.schema.get_schema_generation_database() == "1"
            assert await backend.schema.get_schema_generation_code() == "1"
    await databases.drop(old)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("noted", "generation"), [('"1"', "1"), ('"2"', "2"), ('"no number"', "1"), ("null", "1")]
)
async def test_the_generation_is_read_as_aiida_reads_it(
    django_dsn: str, noted: str, generation: str
) -> None:
    await run_script(
        django_dsn, f"update db_dbsetting set val = '{noted}' where key = 'schema_generation'"
    )
    async with opened(django_dsn) as backend:
        assert await backend.schema.get_schema_generation_database() == generation
        if generation == "2":
            with pytest.raises(IncompatibleStorageSchema, match="generation 2"):
                await backend.schema.validate_schema()
        else:
            await backend.schema.validate_schema()


async def test_nothing_goes_over_to_the_first_generation(backend: aiidadb.Backend) -> None:
    assert await backend.schema.get_schema_version_reset("1") is None
    with pytest.raises(InvalidInputError, match="'2' is not a generation"):
        await backend.schema.get_schema_version_reset("2")


# ------------------------------------------------------------------ setting the version


async def test_the_version_is_set_in_the_columns_of_the_database_s_age(
    databases: Databases, django_dsn: str, main_dsn: str
) -> None:
    old = await database_at(databases, 8)
    for dsn, version, where in [
        (old, "1.0.7", "select tval from db_dbsetting where key = 'db|schemaversion'"),
        (django_dsn, "1.0.44", "select val #>> '{}' from db_dbsetting where key like 'db|%'"),
        (main_dsn, "main_0001", "select version_num from alembic_version"),
    ]:
        async with opened(dsn) as backend:
            await backend.schema.set_schema_version_database(version)
            assert str(await backend.schema.get_schema_version_database()) == version
            assert await fetchval(dsn, where) == version
            await backend.schema.set_schema_version_database(SchemaVersion.parse(version))
            assert str(await backend.schema.get_schema_version_database()) == version
    await databases.drop(old)


async def test_setting_the_version_takes_part_in_a_transaction(backend: aiidadb.Backend) -> None:
    before = await backend.schema.get_schema_version_database()
    other = SchemaVersion(before.line, before.number - 1)
    with pytest.raises(ZeroDivisionError):
        async with backend.transaction():
            await backend.schema.set_schema_version_database(other)
            assert await backend.schema.get_schema_version_database() == other
            raise ZeroDivisionError
    assert await backend.schema.get_schema_version_database() == before


async def test_setting_the_version_settles_two_revisions(main_dsn: str) -> None:
    await run_script(main_dsn, "insert into alembic_version values ('main_0001')")
    async with opened(main_dsn) as backend:
        with pytest.raises(CorruptStorage, match="main_0001, main_0002"):
            await backend.schema.get_schema_version_database()
        await backend.schema.set_schema_version_database("main_0002")
        await backend.schema.validate_schema()


@pytest.mark.parametrize("version", ["1.0", "main_2", "", "1.0.45; drop table db_dbnode", None])
async def test_what_is_no_version_is_refused(backend: aiidadb.Backend, version: str) -> None:
    with pytest.raises(InvalidInputError, match="not a schema version"):
        await backend.schema.set_schema_version_database(version)


async def test_a_version_of_the_main_line_is_refused_for_a_django_database(django_dsn: str) -> None:
    async with opened(django_dsn) as backend:
        with pytest.raises(InvalidInputError, match="main_0002 is of the main line"):
            await backend.schema.set_schema_version_database("main_0002")


# ------------------------------------------------------------------ a new database


@pytest.mark.quick
@pytest.mark.parametrize("version", ["1.0.45", "main_0002"])
async def test_an_empty_database_is_brought_to_a_head_and_can_be_used(
    empty_dsn: str, version: str
) -> None:
    async with opened(empty_dsn) as backend:
        await backend.schema.initialise(version)
        assert str(backend.version) == version
        await backend.schema.validate_schema()
        assert await backend.queries.get_closest_parents([1]) == {}
        await backend.settings.set("answer", 42)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(empty_dsn)) as backend:
        assert (await backend.settings.get("answer")).value == 42


@pytest.mark.parametrize(
    ("version", "aiidas", "names"),
    [("1.0.45", "django_0045.aiida-1.6.9", False), ("main_0002", "main_0002", True)],
)
async def test_a_new_database_has_the_schema_that_aiida_makes(
    databases: Databases, empty_dsn: str, version: str, aiidas: str, names: bool
) -> None:
    theirs = await load_schema(databases, aiidas)
    async with opened(empty_dsn) as backend:
        await backend.schema.initialise(version)
    described = []
    for dsn in (empty_dsn, theirs):
        connection = await asyncpg.connect(dsn)
        described.append(await describe(connection, names=names))
        await connection.close()
    await databases.drop(theirs)
    made, expected = described
    expected.setdefault("alembic_version", made.get("alembic_version", []))
    if not expected["alembic_version"]:
        del expected["alembic_version"]
    assert made == expected


async def test_aiida_opens_a_new_database_and_stores_nodes(
    empty_dsn: str, tmp_path: Path, aiida_home: Path
) -> None:
    repository = tmp_path / "files"
    async with opened(empty_dsn, repository) as backend:
        await backend.schema.initialise()
        assert (await backend.settings.get("repository|uuid")).description == "Repository UUID"

    def use() -> int:
        from aiida import orm

        storage = aiida_storage(empty_dsn, repository)
        orm.User(email="ada@epfl.ch", backend=storage).store()
        storage.reset_default_user()
        data = orm.SinglefileData.from_string("content", filename="a.txt", backend=storage)
        data.store()
        found = orm.QueryBuilder(backend=storage).append(orm.SinglefileData).one()[0].get_content()
        assert found == "content"
        pk = data.pk
        storage.get_session().close()  # which the backend leaves to the garbage collector
        storage.close()
        return pk

    pk = use()
    async with opened(empty_dsn, repository) as backend:
        assert await backend.queries.get_closest_parents([pk]) == {}
        assert await fetchval(empty_dsn, f"select count(*) from db_dbnode where id = {pk}") == 1


async def test_a_database_of_aiida_1_needs_no_container(empty_dsn: str, tmp_path: Path) -> None:
    async with opened(empty_dsn, tmp_path) as backend:
        await backend.schema.initialise("1.0.45")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["1.0.44", "main_0001", "1.0.46"])
async def test_a_new_database_is_made_of_a_head_only(empty_dsn: str, version: str) -> None:
    async with opened(empty_dsn) as backend:
        with pytest.raises(InvalidInputError, match=r"main_0002.*1\.0\.45"):
            await backend.schema.initialise(version)


@pytest.mark.parametrize(
    "statement",
    ["create table invoices (id int)", "create view numbers as select 1 as number"],
)
async def test_a_database_that_is_not_empty_is_refused(empty_dsn: str, statement: str) -> None:
    await run_script(empty_dsn, statement)
    async with opened(empty_dsn) as backend:
        with pytest.raises(DatabaseNotEmpty, match=r"1 table \((invoices|numbers)\)"):
            await backend.schema.initialise()


async def test_an_aiida_database_is_not_made_anew(head_dsn: str, tmp_path: Path) -> None:
    async with opened(head_dsn, tmp_path) as backend:
        with pytest.raises(DatabaseNotEmpty, match=r"is an AiiDA database of version .* already"):
            await backend.schema.initialise()
    assert list(tmp_path.iterdir()) == []


async def test_of_two_that_make_a_database_at_once_one_is_refused(
    empty_dsn: str, tmp_path: Path
) -> None:
    outcomes = []

    async def make() -> None:
        async with opened(empty_dsn, tmp_path) as backend:
            try:
                await backend.schema.initialise()
            except DatabaseNotEmpty as error:
                outcomes.append(error)
            else:
                outcomes.append(None)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(make)
    assert outcomes.count(None) == 1
    assert len(outcomes) == 4
    uuid = await fetchval(empty_dsn, "select val #>> '{}' from db_dbsetting")
    assert uuid == container.read_container_id(tmp_path)


async def test_a_container_that_is_there_is_left_alone_and_nothing_is_made(
    empty_dsn: str, tmp_path: Path
) -> None:
    theirs = await asyncio.to_thread(container.create_container, tmp_path)
    async with opened(empty_dsn, tmp_path) as backend:
        with pytest.raises(RepositoryError, match="belongs to one database"):
            await backend.schema.initialise()
    assert container.read_container_id(tmp_path) == theirs
    assert (
        await fetchval(empty_dsn, "select count(*) from pg_tables where schemaname = 'public'") == 0
    )


async def test_the_container_goes_again_if_the_database_fails(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_and_cut(repository: Path) -> str:
        container_id = container.create_container(repository)
        asyncio.run(
            run_script(
                empty_dsn,
                """
                select pg_terminate_backend(pid) from pg_stat_activity
                where application_name like 'aiidadb migrate%' and datname = current_database()
                """,
            )
        )
        return container_id

    monkeypatch.setattr(new_schema, "create_container", make_and_cut)
    async with opened(empty_dsn, tmp_path) as backend:
        with pytest.raises(UnreachableStorage):
            await backend.schema.initialise()
    assert container.read_container_id(tmp_path) is None
    monkeypatch.undo()
    async with opened(empty_dsn, tmp_path) as backend:
        await backend.schema.initialise()
        await backend.schema.validate_schema()


async def test_without_the_extra_for_containers_nothing_is_made(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "disk_objectstore", None)
    async with opened(empty_dsn, tmp_path) as backend:
        with pytest.raises(MissingExtraError, match=r"aiidadb\[repository\]"):
            await backend.schema.initialise()
        with pytest.raises(NotAnAiidaDatabase):
            await backend.schema.get_schema_version_database()
        await backend.schema.initialise("1.0.45")


@pytest.mark.parametrize("native", [False, True])
async def test_a_cancelled_initialise_leaves_nothing(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    """Cancelled while a thread makes the container, which nothing can stop."""
    loop = asyncio.get_running_loop()
    under_way = asyncio.Event()

    def make_slowly(repository: Path) -> str:
        loop.call_soon_threadsafe(under_way.set)
        time.sleep(0.1)
        return container.create_container(repository)

    monkeypatch.setattr(new_schema, "create_container", make_slowly)
    async with opened(empty_dsn, tmp_path) as backend:
        if native:
            task = asyncio.create_task(backend.schema.initialise())
            await under_way.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(backend.schema.initialise)
                await under_way.wait()
                tasks.cancel_scope.cancel()
        assert container.read_container_id(tmp_path) is None
        with pytest.raises(NotAnAiidaDatabase, match="empty"):
            await backend.schema.get_schema_version_database()
        await backend.schema.initialise()
        await backend.schema.validate_schema()


async def test_a_commit_whose_answer_is_lost_leaves_the_container(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy(empty_dsn) as between:
        real = new_schema.atomic

        @contextlib.asynccontextmanager
        async def atomic(connection: asyncpg.Connection, *what: str) -> AsyncIterator[None]:
            async with real(connection, *what):
                yield
                between.cut_at_next_answer = True

        monkeypatch.setattr(new_schema, "atomic", atomic)
        async with opened(between.dsn, tmp_path) as backend:
            with pytest.raises(UnknownOutcome, match=r"if it is empty, remove .*container and run"):
                await backend.schema.initialise()
    # It was committed, and both are there.
    uuid = await fetchval(empty_dsn, "select val #>> '{}' from db_dbsetting")
    assert uuid == container.read_container_id(tmp_path)


async def test_making_and_migrating_are_refused_inside_a_transaction(
    backend: aiidadb.Backend,
) -> None:
    async with backend.transaction():
        for call in (backend.schema.initialise, backend.schema.migrate):
            with pytest.raises(StorageMigrationError, match=r"outside backend\.transaction"):
                await call()


async def test_every_call_is_refused_once_the_backend_is_closed(head_dsn: str) -> None:
    async with opened(head_dsn) as backend:
        manager = backend.schema
    for call in (
        manager.get_schema_version_database,
        manager.get_schema_version_code,
        manager.is_database_schema_ahead,
        manager.get_schema_generation_database,
        manager.validate_schema,
        manager.initialise,
        manager.plan,
        manager.migrate,
    ):
        with pytest.raises(AiidaDbError, match="closed"):
            await call()
