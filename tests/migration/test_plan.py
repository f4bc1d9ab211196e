"""What a plan holds and counts, and which databases there is no way from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aiidadb.exceptions import (
    CorruptStorage,
    IncompatibleStorageSchema,
    InvalidInputError,
    NotAnAiidaDatabase,
    StorageMigrationError,
)
from aiidadb.migration.steps import STEPS
from tests.helpers.databases import Databases, run_script
from tests.helpers.migrating import migrate, noted, opened, refused_and_left
from tests.helpers.old_database import OldDatabase, state_of
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


async def test_the_plan_counts_rows_and_changes_nothing(old: OldDatabase) -> None:
    before = await state_of(old.dsn)
    async with opened(old.dsn) as backend:
        plan = await backend.schema.plan()
        async with backend.transaction():
            assert await backend.schema.plan() == plan
        assert (await backend.schema.plan("1.0.1")).steps == ()
    assert await state_of(old.dsn) == before

    assert (str(plan.origin), str(plan.target), len(plan.steps)) == ("1.0.1", "main_0002", 51)
    first, second = plan.steps[:2]
    # 0002: one calculation is in a state that is no more; 0003: as many links as there are.
    assert (first.rows, first.rows_are_exact) == (1, True)
    assert (second.rows, second.rows_are_exact, second.tables) == (9, False, ("db_dblink",))
    assert all(step.changes and step.name and step.version for step in plan.steps)
    assert {"db_dbnode", "db_dblink", "db_dbworkflow"} < set(plan.tables)


async def test_no_step_changes_more_rows_than_the_plan_says(
    old: OldDatabase, tmp_path: Path
) -> None:
    async with opened(old.dsn, old.repository) as backend:
        plan = await backend.schema.plan()
        report = await backend.schema.migrate(export_directory=tmp_path)
    for planned, done in zip(plan.steps, report.steps, strict=True):
        # Two rows come with the steps themselves: a log and a setting; an attribute has its items.
        more = {"0024_dblog_update": 1, "0026_trajectory_symbols_to_attribute": 4}.get(done.name, 0)
        assert planned.rows is None or done.rows <= planned.rows + more, planned.name


@pytest.mark.parametrize(("start", "target"), [(1, "1.0.19"), (38, "1.0.46"), (47, "main_0002")])
async def test_the_sql_of_a_plan_without_calls_does_what_migrating_does(
    databases: Databases, start: int, target: str
) -> None:
    by_hand, by_us = [await database_at(databases, start) for _ in range(2)]
    async with opened(by_hand) as backend:
        script = (await backend.schema.plan(target)).sql()
    await run_script(by_hand, script)
    await migrate(by_us, target)
    assert await state_of(by_hand) == await state_of(by_us)
    assert {**await noted(by_hand), "setting": 0} == {**await noted(by_us), "setting": 0}
    async with opened(by_hand) as backend:
        assert str(backend.version) == target
    for dsn in (by_hand, by_us):
        await databases.drop(dsn)


async def test_the_sql_of_a_plan_tells_the_calls_and_holds_every_statement(
    old: OldDatabase,
) -> None:
    async with opened(old.dsn) as backend:
        script = (await backend.schema.plan()).sql()
    for step in STEPS.values():
        for part in step.parts if step.origin and step.version.line != "sqlalchemy" else ():
            assert (part if isinstance(part, str) else f"-- call: {part.name}") in script
    assert script.count("\nbegin;\n") == script.count("\ncommit;\n") == 51
    assert "select pg_temp.aiidadb_note_step('0014_add_node_uuid_unique_constraint'" in script


async def test_an_empty_database_and_another_s_are_refused(empty_dsn: str) -> None:
    with pytest.raises(NotAnAiidaDatabase, match="initialise"):
        await migrate(empty_dsn)
    await run_script(empty_dsn, "create table invoices (id int)")
    with pytest.raises(NotAnAiidaDatabase, match="not an AiiDA database"):
        await migrate(empty_dsn)


@pytest.mark.parametrize("target", ["1.0.51", "1.0.0", "main_0003", "main_0000"])
async def test_a_goal_that_there_is_not_is_refused(django_dsn: str, target: str) -> None:
    with pytest.raises(InvalidInputError, match=r"no way to.*1\.0\.1 … 1\.0\.50.*main_0002"):
        await migrate(django_dsn, target)
    with pytest.raises(InvalidInputError, match="not a schema version"):
        await migrate(django_dsn, "newest")


@pytest.mark.parametrize("target", ["1.0.44", "1.0.1"])
async def test_there_is_no_way_back(head_dsn: str, target: str) -> None:
    with pytest.raises(StorageMigrationError, match=f"no way back to {target}.*backup"):
        await migrate(head_dsn, target)


@pytest.mark.parametrize(
    ("revision", "error", "message"),
    [
        ("main_0003", IncompatibleStorageSchema, "main_0003, which is ahead"),
        ("django_0051", IncompatibleStorageSchema, r"1\.0\.51, which is ahead"),
        ("e15ef2630a1a", IncompatibleStorageSchema, "'e15ef2630a1a'"),
        ("whatever", IncompatibleStorageSchema, "'whatever'"),
    ],
)
async def test_a_revision_that_leads_nowhere_is_refused(
    main_dsn: str, revision: str, error: type[Exception], message: str
) -> None:
    await run_script(main_dsn, f"update alembic_version set version_num = '{revision}'")
    await refused_and_left(main_dsn, error, message)


async def test_two_revisions_are_refused(main_dsn: str) -> None:
    await run_script(main_dsn, "insert into alembic_version values ('django_0013')")
    await refused_and_left(main_dsn, CorruptStorage, "2 revisions.*django_0013, main_0002")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            "update db_dbsetting set val = '\"1.0.44\"' where key = 'db|schemaversion'",
            CorruptStorage,
            r"'1\.0\.44'.*0045_dbgroup_extras",
        ),
        (
            "delete from django_migrations where name like '0031%'",
            CorruptStorage,
            "lacks 0031.*between versions",
        ),
        (
            "update django_migrations set name = '0045_mine' where name like '0045%'",
            IncompatibleStorageSchema,
            "'0045_mine'.*no release of AiiDA",
        ),
        (
            """
            insert into django_migrations (app, name, applied)
            select 'db', '00' || number || '_step', now() from generate_series(46, 51) as number;
            update db_dbsetting set val = '"1.0.51"' where key = 'db|schemaversion'
            """,
            IncompatibleStorageSchema,
            r"1\.0\.51, which is ahead",
        ),
        (
            """
            create table alembic_version (version_num varchar(32));
            insert into alembic_version values ('django_0030')
            """,
            CorruptStorage,
            "django_0030.*0045_dbgroup_extras",
        ),
    ],
)
async def test_bookkeeping_of_the_django_line_that_is_not_sound_is_refused(
    django_dsn: str, change: str, error: type[Exception], message: str
) -> None:
    await run_script(django_dsn, change)
    await refused_and_left(django_dsn, error, message)
