"""Migrating: what runs, what is told of it, what is refused, and who has to wait for whom."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import struct
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import anyio
import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import (
    CorruptStorage,
    IncompatibleStorageSchema,
    InvalidInputError,
    LockTimeout,
    NotAnAiidaDatabase,
    PermissionDenied,
    ReadOnlyDatabase,
    StorageMigrationError,
)
from aiidadb.migration import connection as migration_connection
from aiidadb.migration import plan as migration_plan
from aiidadb.migration.connection import SESSION_SETTINGS, migrating_connection
from aiidadb.migration.migration_lock import LOCK_KEY
from aiidadb.migration.python_step import PythonStep
from aiidadb.migration.steps import STEPS
from aiidadb.sql import SCHEMAS
from aiidadb.version.schema_version import SchemaVersion
from tests.helpers.catalog import describe
from tests.helpers.databases import Databases, run_script
from tests.helpers.faults import proxy
from tests.helpers.old_database import EXPORTED, OldDatabase, state_of
from tests.helpers.single_steps import database_at
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from aiidadb.migration.python_step import StepContext
    from aiidadb.migration.report import MigrationProgress, MigrationReport
    from aiidadb.migration.step_file import MigrationStep
    from tests.migration.conftest import At


@contextlib.asynccontextmanager
async def opened(dsn: str, repository: Path | None = None) -> AsyncIterator[aiidadb.Backend]:
    profile = aiidadb.Profile.from_dsn(dsn, repository=repository)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        yield backend


async def migrate(dsn: str, target: str | None = None, **options: object) -> MigrationReport:
    repository = options.pop("repository", None)
    options.setdefault("without_repository", repository is None)
    async with opened(dsn, repository) as backend:
        return await backend.schema.migrate(target, **options)


async def noted(dsn: str) -> dict[str, object]:
    """The bookkeeping as it is in the tables."""
    connection = await asyncpg.connect(dsn)
    try:
        found: dict[str, object] = {}
        for name, query in (
            ("steps", "select array_agg(name order by id) from django_migrations where app = 'db'"),
            ("revision", "select array_agg(version_num) from alembic_version"),
        ):
            try:
                found[name] = await connection.fetchval(query)
            except asyncpg.UndefinedTableError:
                found[name] = None
        setting = "select to_jsonb(s) from db_dbsetting as s where key = 'db|schemaversion'"
        found["setting"] = json.loads(await connection.fetchval(setting) or "null")
        return found
    finally:
        await connection.close()


# ------------------------------------------------------------------ what is done, and told


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
    # The steps written in Python tell what they do themselves.
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


@pytest.mark.parametrize("target", [2, 13, 36, 37, 42, 45, 49])
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


async def test_a_step_and_its_bookkeeping_are_one_transaction(
    databases: Databases,
) -> None:
    dsn = await database_at(databases, 13)
    # The bookkeeping of 0014 fails, after all of the step itself is done.
    await run_script(
        dsn, "alter table django_migrations add constraint none check (name not like '0014%')"
    )
    before = await state_of(dsn)
    with pytest.raises(StorageMigrationError, match=r"django_0014.*undone.*at 1\.0\.13.*none"):
        await migrate(dsn)
    assert await state_of(dsn) == before
    await databases.drop(dsn)


# ------------------------------------------------------------------ plan, SQL, dry run


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
        for part in step.parts if step.origin is not None else ():
            assert (part if isinstance(part, str) else f"-- call: {part.name}") in script
    assert script.count("\nbegin;\n") == script.count("\ncommit;\n") == 51
    assert "select pg_temp.aiidadb_note_step('0014_add_node_uuid_unique_constraint'" in script


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
    with pytest.raises(StorageMigrationError, match=r"django_0014.*dry run.*nothing was changed"):
        await migrate(dsn, dry_run=True)
    assert await state_of(dsn) == before
    await databases.drop(dsn)


# ------------------------------------------------------------------ steps that fail


async def test_a_step_that_fails_is_named_with_the_server_s_advice(databases: Databases) -> None:
    dsn = await database_at(databases, 8)
    connection = await asyncpg.connect(dsn)
    for _ in range(2):
        await insert(connection, "db_dbnode", uuid="01234567-89ab-4def-8123-456789abcdef")
    with pytest.raises(
        StorageMigrationError,
        match=(
            r"django_0014 \(0014_add_node_uuid_unique_constraint\) was undone, and the database is "
            r"at 1\.0\.13: .*2 rows.*apply_new_uuid_mapping"
        ),
    ) as raised:
        await migrate(dsn)
    assert "\n" not in str(raised.value)
    async with opened(dsn) as backend:
        assert str(backend.version) == "1.0.13"
        # Put right as the message says, it goes on.
        await connection.execute(
            """
            update db_dbnode set uuid = gen_random_uuid()
            where id = (select min(id) from db_dbnode)
            """
        )
        await connection.close()
        assert len((await backend.schema.migrate("1.0.18")).steps) == 5
    await databases.drop(dsn)


async def test_what_is_cleared_away_after_the_commit_may_fail(
    old: OldDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiidadb.migration.repository import move_files as repository

    def fail(_directory: Path) -> None:
        raise OSError("not today")

    monkeypatch.setattr(repository, "remove_mark", fail)
    report = await migrate(old.dsn, repository=old.repository, export_directory=tmp_path)
    assert str(report.version) == "main_0002"
    assert any("clearing away" in note and "not today" in note for note in report.notes)


# ------------------------------------------------------------------ refused before anything


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
    with pytest.raises(InvalidInputError, match="no schema version"):
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
        ("e15ef2630a1b", IncompatibleStorageSchema, "e15ef2630a1b.*verdi storage migrate"),
        ("89176227b25", IncompatibleStorageSchema, "old SQLAlchemy backend.*89176227b25"),
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


async def refused_and_left(dsn: str, error: type[Exception], message: str) -> None:
    before = await state_of(dsn), await noted(dsn)
    async with opened(dsn) as backend:
        for call in (backend.schema.plan, backend.schema.migrate):
            with pytest.raises(error, match=message):
                await call()
    assert (await state_of(dsn), await noted(dsn)) == before


async def test_a_database_without_its_repository_is_refused_before_the_first_change(
    old: OldDatabase, tmp_path: Path
) -> None:
    before = await state_of(old.dsn)
    for target, what in (("1.0.45", "trajectories"), ("main_0002", "")):
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
    async with role(databases, old.dsn, "create on schema public") as dsn:
        with pytest.raises(PermissionDenied, match=r"belong to the role .*migrate as that role"):
            await migrate(dsn)
    async with opened(old.dsn) as backend:
        assert str(backend.version) == "1.0.1"


async def test_a_role_that_may_make_nothing_is_told_what_it_needs(
    databases: Databases, old: OldDatabase
) -> None:
    async with role(databases, old.dsn, "connect on database {database}") as dsn:
        with pytest.raises(PermissionDenied, match="grant create on schema public to"):
            await migrate(dsn)


async def test_a_session_that_may_not_write_is_refused(
    databases: Databases, old: OldDatabase
) -> None:
    async with role(databases, old.dsn, "create on schema public") as dsn:
        name = urlsplit(dsn).username
        await run_script(old.dsn, f"alter role {name} set default_transaction_read_only = on")
        with pytest.raises(ReadOnlyDatabase, match="connect to the primary"):
            await migrate(dsn)


@contextlib.asynccontextmanager
async def role(databases: Databases, dsn: str, grant: str) -> AsyncIterator[str]:
    """A role that may read all and has one right more; the database's DSN for it."""
    name, database = f"aiidadb_test_{secrets.token_hex(4)}", urlsplit(dsn).path[1:]
    await run_script(
        dsn,
        f"""
        create role {name} login;
        grant select on all tables in schema public to {name};
        revoke create on schema public from public;
        grant {grant.format(database=database)} to {name};
        """,
    )
    try:
        parts = urlsplit(dsn)
        host = parts.netloc.rpartition("@")[2]
        yield urlunsplit(parts._replace(netloc=f"{name}@{host}"))
    finally:
        await run_script(dsn, f"drop owned by {name}; drop role {name}")


async def test_a_server_that_is_too_old_is_refused(
    old: OldDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_connection, "MINIMAL_SERVER", 99)
    with pytest.raises(StorageMigrationError, match="migrating needs 99 or newer"):
        await migrate(old.dsn)


def other_process_number(answer: bytes) -> bytes:
    """The server's greeting with another process number, as PgBouncer and its like send it."""
    key = answer.find(b"K\x00\x00\x00\x0c")
    if key < 0:
        return answer
    number = struct.unpack_from("!i", answer, key + 5)[0] + 1
    return answer[: key + 5] + struct.pack("!i", number) + answer[key + 9 :]


async def test_a_connection_pooler_is_refused(old: OldDatabase) -> None:
    async with proxy(old.dsn) as between:
        between.edit_answer = other_process_number
        async with opened(between.dsn) as backend:
            assert str(backend.version) == "1.0.1"
            with pytest.raises(StorageMigrationError, match="PgBouncer"):
                await backend.schema.migrate()


# ------------------------------------------------------------------ the session


async def test_settings_of_role_and_database_do_not_reach_a_migration(
    databases: Databases, old: OldDatabase
) -> None:
    database = urlsplit(old.dsn).path[1:]
    hostile = {
        "search_path": "pg_catalog",
        "statement_timeout": "'30s'",
        "idle_in_transaction_session_timeout": "'30s'",
        "lock_timeout": "'1min'",
        "default_transaction_isolation": "serializable",
        "synchronous_commit": "off",
        "timezone": "'Asia/Kathmandu'",
        "datestyle": "'German'",
        "extra_float_digits": "-5",
    }
    await run_script(
        old.dsn,
        "".join(
            f"alter database {database} set {name} = {text};" for name, text in hostile.items()
        ),
    )
    profile = aiidadb.Profile.from_dsn(old.dsn)
    async with migrating_connection(profile, patience=1, waiting=print) as connection:
        for name, wanted in SESSION_SETTINGS.items():
            found = await connection.fetchval("select current_setting($1::text, true)", name)
            assert found in (wanted, None if name == "transaction_timeout" else wanted), name
        interval = await connection.fetchval("show client_connection_check_interval")
        assert interval == "500ms"


async def test_tables_of_the_same_names_elsewhere_are_left_alone(
    databases: Databases, old: OldDatabase
) -> None:
    await run_script(
        old.dsn,
        """
        create schema postgres;
        create table postgres.db_dbnode as table public.db_dbnode;
        create table postgres.db_dblink as table public.db_dblink;
        """,
    )
    await migrate(old.dsn, "1.0.20")
    connection = await asyncpg.connect(old.dsn)
    types = await connection.fetchval(
        "select count(*) from postgres.db_dbnode where type like 'calculation%'"
    )
    await connection.close()
    assert types == 4


async def test_a_migration_connects_as_the_backend_was_told_to(old: OldDatabase) -> None:
    """What `open_backend` was given beside the profile holds for the migration as well."""
    profile = aiidadb.Profile.from_dsn(old.dsn, name="without a user")
    nobody = dataclasses.replace(profile, user="aiidadb_test_nobody_at_all")
    options = {
        "user": urlsplit(old.dsn).username or "postgres",
        "min_size": 1,
        "command_timeout": 0.5,
        "server_settings": {"work_mem": "8MB", "application_name": "a service"},
    }
    async with aiidadb.open_backend(nobody, schema_check=False, **options) as backend:
        assert len((await backend.schema.migrate("1.0.5")).steps) == 4
    async with migrating_connection(nobody, options, patience=1, waiting=print) as connection:
        assert await connection.fetchval("show work_mem") == "8MB"
        name = await connection.fetchval("show application_name")
        assert name.startswith("aiidadb migrate, process")
        await connection.execute("select pg_sleep(0.7)")


# ------------------------------------------------------------------ others


async def test_a_second_migration_waits_and_finds_what_is_left(old: OldDatabase) -> None:
    waiting: list[str] = []
    results: dict[str, MigrationReport] = {}

    async def one(name: str, target: str) -> None:
        results[name] = await migrate(
            old.dsn, target, progress=lambda told: waiting.append(told.what)
        )

    profile = aiidadb.Profile.from_dsn(old.dsn)
    async with (
        anyio.create_task_group() as tasks,
        migrating_connection(profile, patience=1, waiting=print),
    ):
        tasks.start_soon(one, "first", "1.0.10")
        tasks.start_soon(one, "second", "1.0.10")
        while not any(what.startswith("waiting for another migration") for what in waiting):
            await anyio.sleep(0.01)
        assert results == {}
    assert sorted(len(report.steps) for report in results.values()) == [0, 9]
    text = next(what for what in waiting if what.startswith("waiting"))
    assert f"aiidadb migrate, process {os.getpid()} on" in text


async def test_waiting_for_another_migration_has_an_end_that_names_it(old: OldDatabase) -> None:
    connection = await asyncpg.connect(old.dsn, server_settings={"application_name": "somebody"})
    await connection.execute(f"select pg_advisory_lock({LOCK_KEY})")
    with pytest.raises(LockTimeout, match=r"another migration.*somebody.*after 0\.2 seconds"):
        await migrate(old.dsn, patience=0.2)
    await connection.close()
    assert len((await migrate(old.dsn, "1.0.2")).steps) == 1


async def test_the_lock_is_the_database_s_own(databases: Databases, old: OldDatabase) -> None:
    other = await database_at(databases, 1)
    profile = aiidadb.Profile.from_dsn(other)
    async with migrating_connection(profile, patience=1, waiting=print):
        assert len((await migrate(old.dsn, "1.0.2", patience=0)).steps) == 1
    await databases.drop(other)


async def test_a_reader_keeps_a_step_waiting_and_other_readers_go_on(old: OldDatabase) -> None:
    """A change that waits for its lock would keep all later readers out."""
    reader, other = [await asyncpg.connect(old.dsn) for _ in range(2)]
    holding = reader.transaction()
    await holding.start()
    await reader.fetch("select * from db_dblink")
    told: list[str] = []
    slowest = 0.0
    done = anyio.Event()

    async def run() -> None:
        report = await migrate(old.dsn, "1.0.4", progress=lambda one: told.append(one.what))
        assert len(report.steps) == 3
        done.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while sum(what.startswith("waiting:") for what in told) < 2:
                begin = anyio.current_time()
                await other.fetch("select count(*) from db_dblink")
                slowest = max(slowest, anyio.current_time() - begin)
                await anyio.sleep(0.02)
            assert not done.is_set()
            await holding.commit()
    assert done.is_set()
    assert slowest < 1.5 + 1  # the time that the change waits for its lock, and some for a busy day
    text = next(what for what in told if what.startswith("waiting:"))
    assert f"db_dblink is used by server process {reader.get_server_pid()}" in text
    for connection in (reader, other):
        await connection.close()


async def test_waiting_for_a_table_has_an_end_that_names_who_has_it(old: OldDatabase) -> None:
    reader = await asyncpg.connect(old.dsn, server_settings={"application_name": "a notebook"})
    async with reader.transaction():
        await reader.fetch("select * from db_dblink")
        with pytest.raises(
            LockTimeout, match=r"django_0003.*at 1\.0\.2: .*db_dblink is used.*a notebook"
        ):
            await migrate(old.dsn, patience=0.5)
    await reader.close()
    async with opened(old.dsn) as backend:
        assert str(backend.version) == "1.0.2"


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


async def test_describe_tells_two_versions_apart(at: At) -> None:
    """What the tests of faults compare by would be worth nothing otherwise."""
    assert await describe(await at(13)) != await describe(await at(14))


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files of steps go to the current directory where no other is named."""
    monkeypatch.chdir(tmp_path)
    return
