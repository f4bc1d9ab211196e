"""What is refused before a migration's first change."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from aiidadb.exceptions import (
    PermissionDenied,
    StorageMigrationError,
)
from aiidadb.migration.python_step import PythonStep
from aiidadb.migration.steps import STEPS
from aiidadb.version.schema_version import SchemaVersion
from tests.helpers.migrating import migrate, opened
from tests.helpers.old_database import OldDatabase, state_of
from tests.helpers.roles import role_with

if TYPE_CHECKING:
    from pathlib import Path

    from aiidadb.migration.python_step import StepContext
    from tests.helpers.databases import Databases

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


async def test_a_database_without_its_repository_is_refused_before_the_first_change(
    old: OldDatabase, tmp_path: Path
) -> None:
    before = await state_of(old.dsn)
    for target, what in (("1.0.45", "1 trajectory"), ("main_0002", "")):
        for repository in (None, tmp_path / "elsewhere"):
            with pytest.raises(StorageMigrationError, match=f"{what}.*--without-repository"):
                await migrate(old.dsn, target, repository=repository, without_repository=False)
    assert await state_of(old.dsn) == before
    report = await migrate(old.dsn, without_repository=True)
    assert str(report.version) == "main_0002"


async def test_an_export_directory_that_cannot_be_is_refused_before_the_first_change(
    old: OldDatabase, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageMigrationError, match="file/exports cannot be written"):
        await migrate(old.dsn, export_directory=tmp_path / "file" / "exports")
    async with opened(old.dsn) as backend:
        assert str(backend.version) == "1.0.1"


async def test_a_role_that_is_not_the_owner_is_refused_before_the_first_change(
    databases: Databases, old: OldDatabase
) -> None:
    async with role_with(old.dsn, "create on schema public") as dsn:
        with pytest.raises(PermissionDenied, match=r"belong to the role .*migrate as that role"):
            await migrate(dsn)
    async with opened(old.dsn) as backend:
        assert str(backend.version) == "1.0.1"


async def test_a_step_in_python_is_asked_before_the_first_change_whether_it_can_run(
    old: OldDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def refuse(context: StepContext) -> None:
        asked.append(context.options)
        raise StorageMigrationError("not with these options")

    step = STEPS[SchemaVersion("django", 32)]
    unable = PythonStep("unable", run=step.python_steps[0].run, check=refuse)
    monkeypatch.setitem(STEPS, step.version, dataclasses.replace(step, parts=(unable,)))
    with pytest.raises(StorageMigrationError, match="not with these options"):
        await migrate(old.dsn, patience=7)
    assert [(options.without_repository, options.patience) for options in asked] == [(True, 7)]
    async with opened(old.dsn) as backend:
        assert str(backend.version) == "1.0.1"
        assert len((await backend.schema.migrate("1.0.2")).steps) == 1
