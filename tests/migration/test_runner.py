"""Migrating: what runs, what is reported, and what is recorded in the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import (
    StorageMigrationError,
)
from aiidadb.migration import plan as migration_plan
from aiidadb.migration.steps import STEPS
from aiidadb.sql import SCHEMAS
from tests.helpers.choices import some_of
from tests.helpers.databases import Databases, run_script
from tests.helpers.migrating import migrate, noted, opened
from tests.helpers.old_database import EXPORTED, OldDatabase, state_of
from tests.helpers.single_steps import database_at
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from pathlib import Path

    from aiidadb.migration.report import MigrationProgress
    from aiidadb.migration.step_file import MigrationStep
    from aiidadb.version.schema_version import SchemaVersion

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


# ------------------------------------------------------------------ what is done, and told


@pytest.mark.quick
async def test_the_newest_is_the_goal_and_the_report_tells_every_step(
    old: OldDatabase, tmp_path: Path
) -> None:
    exports = tmp_path / "exports"
    async with opened(old.dsn, old.repository) as backend:
        report = await backend.schema.migrate(export_directory=exports)
        assert str(backend.version) == "main_0002"
        await backend.schema.validate_schema()

    assert (str(report.origin), str(report.version)) == ("1.0.1", "main_0002")
    assert not report.dry_run
    assert [str(step.version) for step in report.steps] == [
        *(f"1.0.{number}" for number in range(2, 51)),
        "main_0001",
        "main_0002",
    ]
    assert [step.origin for step in report.steps[1:]] == [s.version for s in report.steps[:-1]]
    assert 0 < sum(step.seconds for step in report.steps) <= report.seconds
    rows = {str(step.version): step.rows for step in report.steps}
    assert (rows["1.0.15"], rows["1.0.28"], rows["1.0.10"]) == (10, 10, 0)
    assert report.rows == sum(rows.values())
    assert sorted(report.files) == sorted(exports.iterdir())
    for begin in EXPORTED:
        (path,) = [path for path in report.files if path.name.startswith(begin)]
        assert path.is_absolute()
        assert json.loads(path.read_text("utf-8"))
        assert any(str(path) in note for note in report.notes)


async def test_a_second_run_finds_nothing_to_do(old: OldDatabase, tmp_path: Path) -> None:
    first = await migrate(old.dsn, "1.0.45", export_directory=tmp_path)
    again = await migrate(old.dsn, "1.0.45", export_directory=tmp_path)
    assert len(first.steps) == 44
    assert again.steps == ()
    assert (again.origin, again.version) == (first.version, first.version)


async def test_the_plan_is_made_once_a_run(
    old: OldDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    route = migration_plan.route

    def counting_route(*versions: SchemaVersion) -> list[MigrationStep]:
        made.append(versions)
        return route(*versions)

    monkeypatch.setattr(migration_plan, "route", counting_route)
    await migrate(old.dsn, "1.0.14", export_directory=tmp_path)
    assert [tuple(map(str, versions)) for versions in made] == [("1.0.1", "1.0.14")]


async def test_files_are_written_to_the_current_directory_by_default(
    old: OldDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = await migrate(old.dsn, "1.0.32")
    assert len(report.files) == 4
    assert {path.parent for path in report.files} == {tmp_path}


async def test_progress_names_the_step_and_counts_rows(old: OldDatabase, tmp_path: Path) -> None:
    told: list[MigrationProgress] = []
    report = await migrate(
        old.dsn, repository=old.repository, export_directory=tmp_path, progress=told.append
    )
    assert {one.steps for one in told} == {len(report.steps)}
    assert [one.name for one in told if one.what == "done"] == [s.name for s in report.steps]
    assert sorted(told, key=lambda one: one.step) == told
    rows = {one.name: (one.rows, one.rows_total) for one in told if one.what == "done"}
    assert rows["0015_invalidating_node_hash"] == (10, 10)
    begun = [one for one in told if one.what == "changing the database" and one.step == 14]
    assert [(one.name, one.rows, one.rows_total) for one in begun] == [
        ("0015_invalidating_node_hash", 0, 10)
    ]
    # The steps written in Python report what they do themselves.
    assert any("files of nodes" in one.what for one in told)


async def test_what_the_progress_callback_raises_stops_the_migration(old: OldDatabase) -> None:
    def stop_at_0005(progress: MigrationProgress) -> None:
        if progress.name.startswith("0005"):
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        await migrate(old.dsn, progress=stop_at_0005)
    async with opened(old.dsn) as backend:
        assert str(backend.version) == "1.0.4"


# ------------------------------------------------------------------ bookkeeping


@pytest.mark.parametrize("target", some_of([2, 13, 36, 37, 42, 45, 49], [36, 37]))
async def test_up_to_1_0_49_the_bookkeeping_is_aiida_1_s(databases: Databases, target: int) -> None:
    dsn = await database_at(databases, 1)
    await migrate(dsn, f"1.0.{target}")
    found = await noted(dsn)
    assert found["revision"] is None
    names = [step.name for step in STEPS.values() if step.version.line == "django"][:target]
    assert found["steps"] == names
    setting = found["setting"]
    if target < 37:
        assert (setting["tval"], setting["datatype"]) == (f"1.0.{target}", "txt")
        assert {setting[column] for column in ("fval", "ival", "bval", "dval")} == {None}
    else:
        assert setting["val"] == f"1.0.{target}"
    await databases.drop(dsn)


async def test_the_names_of_steps_are_those_that_aiida_notes() -> None:
    names = [step.name for step in STEPS.values() if step.version.line == "django"][:45]
    assert all(f"('db', '{name}', now())" in SCHEMAS["django_0045"] for name in names)


async def test_the_setting_is_described_as_aiida_does_where_it_was_missing(
    databases: Databases,
) -> None:
    for version in (8, 40):
        dsn = await database_at(databases, version)
        await run_script(dsn, "delete from db_dbsetting where key = 'db|schemaversion'")
        await migrate(dsn, f"1.0.{version + 1}")
        setting = (await noted(dsn))["setting"]
        assert setting["description"] == "Database schema version"
        assert setting.get("val", setting.get("tval")) == f"1.0.{version + 1}"
        await databases.drop(dsn)


@pytest.mark.parametrize(
    ("target", "revision", "setting"),
    [
        ("1.0.50", "django_0050", "1.0.50"),
        # What AiiDA 2.x leaves there for good.
        ("main_0001", "main_0001", "1.0.45"),
        ("main_0002", "main_0002", "1.0.45"),
    ],
)
async def test_from_1_0_50_on_the_bookkeeping_is_aiida_2_s(
    django_dsn: str, target: str, revision: str, setting: str
) -> None:
    await migrate(django_dsn, target)
    found = await noted(django_dsn)
    assert (found["steps"], found["revision"]) == (None, [revision])
    assert found["setting"]["val"] == setting
    async with opened(django_dsn) as backend:
        assert str(backend.version) == target


# ------------------------------------------------------------------ dry run


async def test_a_dry_run_does_it_all_and_leaves_nothing(old: OldDatabase, tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    before, files = await state_of(old.dsn), sorted(old.repository.rglob("*"))
    options = {"repository": old.repository, "export_directory": exports}

    dry = await migrate(old.dsn, dry_run=True, **options)

    assert (await state_of(old.dsn), sorted(old.repository.rglob("*"))) == (before, files)
    assert not exports.exists()
    assert dry.dry_run
    assert dry.files == ()
    assert any("would be written" in note for note in dry.notes)
    real = await migrate(old.dsn, **options)
    assert [(s.name, s.rows) for s in dry.steps] == [(s.name, s.rows) for s in real.steps]
    assert all(step.seconds > 0 for step in dry.steps)


async def test_a_dry_run_meets_what_a_real_run_would(databases: Databases) -> None:
    dsn = await database_at(databases, 8)
    connection = await asyncpg.connect(dsn)
    for _ in range(2):
        await insert(connection, "db_dbnode", uuid="01234567-89ab-4def-8123-456789abcdef")
    await connection.close()
    before = await state_of(dsn)
    with pytest.raises(StorageMigrationError, match=r"repeated_node_uuid.*[Nn]othing was changed"):
        await migrate(dsn, dry_run=True)
    assert await state_of(dsn) == before
    await databases.drop(dsn)


# ------------------------------------------------------------------ this process afterwards


async def test_pools_of_this_process_go_on_after_a_migration(django_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(django_dsn)
    question = "select * from db_dbcomputer"
    async with aiidadb.PoolRegistry() as registry, opened(django_dsn) as backend:
        mine = await aiidadb.get_pool(profile)
        theirs = await registry.get_pool(profile)
        for pool in (mine, theirs):
            await pool.fetch(question)  # now it is a prepared statement of each
        await backend.schema.migrate(without_repository=True)
        for pool in (mine, theirs):
            async with pool.acquire() as connection, connection.transaction():
                statement = await connection.prepare(question)
                assert "label" in {column.name for column in statement.get_attributes()}
                await connection.fetch(question)
        assert str(backend.version) == "main_0002"
        assert (
            await backend.queries.get_closest_parents([1], node_type="data.core.dict.Dict.") == {}
        )
        await aiidadb.reset_pools()
