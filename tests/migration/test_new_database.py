"""A database made new and one that came all the way by the runner: the same schema and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

import aiidadb
from tests.helpers.catalog import describe
from tests.helpers.databases import Databases, run_script
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from pathlib import Path

    from aiidadb.migration.report import MigrationReport

# What a database without a node has rows of, in no order and without ids: a new one starts counting
# again.
ROWS = {
    "db_dbsetting": "select key, val::text, description from db_dbsetting",
    "alembic_version": "select version_num from alembic_version",
    "django_migrations": "select app, name from django_migrations",
    "django_content_type": "select app_label, model from django_content_type",
    "auth_permission": """
        select permission.name, permission.codename, kind.app_label, kind.model
        from auth_permission as permission
        join django_content_type as kind on kind.id = permission.content_type_id
    """,
}


async def migrate(dsn: str, target: str) -> MigrationReport:
    profile = aiidadb.Profile.from_dsn(dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        return await backend.schema.migrate(target, without_repository=True)


async def everything(
    dsn: str, *, names: bool
) -> tuple[dict[str, list[str]], dict[str, list[tuple[object, ...]]]]:
    connection = await asyncpg.connect(dsn)
    try:
        tables = await describe(connection, names=names)
        rows = {
            table: sorted(map(tuple, await connection.fetch(query)))
            for table, query in ROWS.items()
            if table in tables
        }
        return tables, rows
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("start", "version", "names"),
    [
        # By definition: the names of 1.0.45 are those of the Django release that made the table.
        (1, "1.0.45", False),
        (1, "main_0002", True),
        (45, "main_0002", True),
    ],
)
async def test_a_database_that_came_all_the_way_is_a_new_one(
    databases: Databases, empty_dsn: str, start: int, version: str, names: bool
) -> None:
    come = await database_at(databases, start)
    await migrate(come, version)
    async with aiidadb.open_backend(
        aiidadb.Profile.from_dsn(empty_dsn), schema_check=False
    ) as backend:
        await backend.schema.initialise(version)
    tables, rows = await everything(come, names=names)
    new_tables, new_rows = await everything(empty_dsn, names=names)
    if version == "main_0002":
        # Of AiiDA 1.x, and left there by AiiDA 2.x.
        left = {"db|schemaversion", "schema_generation"}
        rows["db_dbsetting"] = [row for row in rows["db_dbsetting"] if row[0] not in left]
    for table in ("django_content_type", "auth_permission"):
        # Django keeps those of tables that are gone.
        kept, new = set(rows.pop(table, ())), set(new_rows.pop(table, ()))
        assert new <= kept
    assert tables == new_tables
    assert rows == new_rows
    await databases.drop(come)


async def test_the_main_line_replayed_from_its_first_step_is_a_new_database(
    empty_dsn: str, main_dsn: str, sql_of_main_0001: str
) -> None:
    await run_script(
        empty_dsn,
        f"""
        {sql_of_main_0001}
        create table alembic_version (
            version_num varchar(32) not null constraint alembic_version_pkc primary key
        );
        insert into alembic_version values ('main_0001');
        """,
    )
    report = await migrate(empty_dsn, "main_0002")
    assert [str(step.version) for step in report.steps] == ["main_0002"]
    assert await everything(empty_dsn, names=True) == await everything(main_dsn, names=True)


@pytest.fixture
def sql_of_main_0001() -> str:
    from aiidadb.sql import sql_directory

    return (sql_directory() / "migrations" / "main" / "0001_initial.sql").read_text("utf-8")


async def test_a_database_that_aiida_made_new_becomes_no_other_by_migrating(
    aiida_dsn: str, tmp_path: Path
) -> None:
    before = await everything(aiida_dsn, names=True)
    assert (await migrate(aiida_dsn, "main_0002")).steps == ()
    assert await everything(aiida_dsn, names=True) == before
