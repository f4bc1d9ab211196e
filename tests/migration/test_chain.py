"""Whole ways through the chain, by the runner: from real databases, and beside aiida-core 2.9.4."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

import aiidadb
from aiidadb.migration.repository import container
from tests.helpers.aiida_process import migrate_by_aiida, run_aiida
from tests.helpers.aiida_reading import READ_IT_ALL, files_before, give_aiida_a_profile
from tests.helpers.aiida_storage import aiida_profile_dictionary
from tests.helpers.catalog import describe
from tests.helpers.choices import some_of
from tests.helpers.comparison import differences
from tests.helpers.databases import Databases, fetchval, run_script
from tests.helpers.old_database import OldDatabase, make_old_database, state_of
from tests.helpers.real_databases import load_dump, load_schema, unpack
from tests.helpers.table_content import content
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from pathlib import Path

    from aiidadb.migration.report import MigrationReport

VERDI = "from aiida.cmdline.commands.cmd_verdi import verdi; verdi()"


async def migrate(
    old: OldDatabase, target: str | None = None, **options: object
) -> MigrationReport:
    profile = aiidadb.Profile.from_dsn(old.dsn, repository=old.repository)
    exports = old.repository.parent / "exports"
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        return await backend.schema.migrate(target, export_directory=exports, **options)


# ------------------------------------------------------------------ a real database


@pytest.fixture
async def genuine(databases: Databases, legacy_repository: Path) -> OldDatabase:
    """What AiiDA 0.12.5 itself made, at 1.0.8."""
    dsn = await load_dump(databases, "legacy/1_aiida-0.12.5_django_0008")
    return OldDatabase(dsn, legacy_repository)


# Django 1.7 forgot an index that databases of later releases have, and left one beside its twin.
INDEXES_OF_DJANGO = [
    (
        "db_dblink: only ours has index "
        "CREATE INDEX ON public.db_dblink USING btree (type varchar_pattern_ops)"
    ),
    (
        "db_dbuser: only theirs has index "
        "CREATE INDEX ON public.db_dbuser USING btree (email varchar_pattern_ops)"
    ),
]

# AiiDA sets every mtime to the time of the migration; here they are kept.
KEPT = ["db_dbnode.mtime"]

MTIMES = "select json_object_agg(uuid, mtime order by uuid)::text from db_dbnode"


async def test_a_real_database_comes_out_as_aiida_left_it_at_each_head(
    genuine: OldDatabase, databases: Databases
) -> None:
    mtimes = await fetchval(genuine.dsn, MTIMES)
    theirs = await load_dump(databases, "legacy/2_after_aiida-1.6.9_django_0045")

    report = await migrate(genuine, "1.0.45")

    assert await fetchval(genuine.dsn, MTIMES) == mtimes
    assert await differences(genuine.dsn, theirs, ignored=KEPT) == INDEXES_OF_DJANGO
    assert len(report.files) == 4
    assert all(json.loads(path.read_text("utf-8")) for path in report.files)
    await databases.drop(theirs)

    theirs = await load_dump(databases, "legacy/3_after_aiida-2.9.4_main_0002")
    await migrate(genuine)
    assert await fetchval(genuine.dsn, MTIMES) == mtimes
    # The id of the container is a new one for each that is made.
    (difference,) = await differences(genuine.dsn, theirs, names=True, ignored=KEPT)
    assert difference.startswith("db_dbsetting[repository|uuid].val: ")
    assert str(container.read_container_id(genuine.repository)) in difference
    await databases.drop(theirs)


async def test_aiida_opens_and_reads_a_real_database_after_the_whole_way(
    genuine: OldDatabase, tmp_path: Path
) -> None:
    await migrate(genuine)
    give_aiida_a_profile(tmp_path / "home", genuine.dsn, genuine.repository)
    told, logs, unreferenced, valid, objects = json.loads(
        await run_aiida(READ_IT_ALL, tmp_path / "home")
    )
    assert (len(told), logs) == (288, 14)
    assert (unreferenced, valid) == ([], True)
    assert objects > 0
    files = {uuid: facts[3] for uuid, facts in told.items() if facts[3]}
    before = files_before(genuine.repository)
    assert files == {uuid: of_node for uuid, of_node in before.items() if of_node}
    info = await run_aiida(VERDI, tmp_path / "home", "storage", "info")
    assert "count: 288" in info


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("release", "version", "nodes"),
    [("0.6.0", 2, 10), ("0.7.0", 3, 10), ("0.8.1", 4, 14), ("0.9.1", 4, 14)],
)
async def test_aiida_opens_and_reads_a_database_from_before_0_10_after_the_whole_way(
    databases: Databases, tmp_path: Path, release: str, version: int, nodes: int
) -> None:
    dsn = await load_dump(databases, f"legacy/1_aiida-{release}_django_{version:04}")
    repository = unpack(f"legacy/repository_aiida-{release}", tmp_path / "files")
    made = OldDatabase(dsn, repository)
    await migrate(made)
    give_aiida_a_profile(tmp_path / "home", dsn, repository)
    told, _logs, unreferenced, valid, objects = json.loads(
        await run_aiida(READ_IT_ALL, tmp_path / "home")
    )
    assert (len(told), unreferenced, valid, objects) == (nodes, [], True, 4)
    files = {uuid: facts[3] for uuid, facts in told.items() if facts[3]}
    before = files_before(repository)
    assert files == {uuid: of_node for uuid, of_node in before.items() if of_node}
    await databases.drop(dsn)


# ------------------------------------------------------------------ aiida-core takes over, or did


@pytest.mark.thorough
async def test_aiida_opens_a_database_that_came_all_the_way(
    old: OldDatabase, tmp_path: Path
) -> None:
    await migrate(old)
    give_aiida_a_profile(tmp_path / "home", old.dsn, old.repository)
    told, logs, unreferenced, valid, objects = json.loads(
        await run_aiida(READ_IT_ALL, tmp_path / "home")
    )
    assert sorted(facts[0] for facts in told.values()) == [
        "BandsData",
        "CalcFunctionNode",
        "CalcJobNode",
        "CalcJobNode",
        "Code",
        "Dict",
        "FolderData",
        "StructureData",
        "TrajectoryData",
        "WorkChainNode",
    ]
    trajectory = next(facts for facts in told.values() if facts[0] == "TrajectoryData")
    assert trajectory[1]["symbols"] == ["Ba", "Ti", "O"]
    assert list(trajectory[3]) == ["steps.npy"]
    assert sum(len(facts[3]) for facts in told.values()) == 4
    assert (logs, unreferenced, valid, objects) == (2, [], True, 4)
    version = await run_aiida(VERDI, tmp_path / "home", "storage", "version")
    assert "main_0002" in version


@pytest.mark.parametrize(
    "target",
    some_of(
        ["1.0.45", "1.0.46", "1.0.47", "1.0.49", "1.0.50", "main_0001"],
        chosen=["1.0.46", "1.0.50"],
    ),
)
async def test_aiida_goes_on_from_where_we_stopped(
    old: OldDatabase, databases: Databases, tmp_path: Path, target: str
) -> None:
    """Where the migration was stopped, aiida-core of that version finds its own bookkeeping."""
    await migrate(old, target)
    theirs = await copy_of(databases, old, tmp_path / "theirs")

    await migrate_by_aiida(theirs.dsn, theirs.repository)
    await migrate(old)

    ours, aiidas = await state_of(old.dsn), await state_of(theirs.dsn)
    assert ours[0] == aiidas[0]
    for table in ("db_dbnode", "db_dblink", "db_dblog", "db_dbgroup", "db_dbcomputer", "db_dbuser"):
        assert ours[1][table] == aiidas[1][table], table


@pytest.mark.parametrize(
    "target", some_of([f"1.0.{number}" for number in range(4, 14)], chosen=["1.0.9"])
)
async def test_aiida_goes_on_from_where_we_stopped_before_node_uuids_are_unique(
    old: OldDatabase, tmp_path: Path, target: str
) -> None:
    """aiida-core 2.9.4 drops the index of 0004 by the name that its own step gives it."""
    await migrate(old, target)
    await migrate_by_aiida(old.dsn, old.repository)
    assert await fetchval(old.dsn, "select version_num from alembic_version") == "main_0002"
    assert await fetchval(old.dsn, "select count(*) from db_dbnode") == 10


async def copy_of(databases: Databases, old: OldDatabase, directory: Path) -> OldDatabase:
    shutil.copytree(old.repository, directory)
    name = f"{urlsplit(old.dsn).path[1:]}_theirs"
    await run_script(
        databases.server_dsn, f'create database "{name}" template "{urlsplit(old.dsn).path[1:]}"'
    )
    return without_symbols(OldDatabase(databases.dsn(name), directory))


def without_symbols(old: OldDatabase) -> OldDatabase:
    """Delete files as AiiDA's step 0027 does; here they stay, and 0047 passes them over."""
    for symbols in old.repository.glob("repository/node/**/symbols.npy"):
        symbols.unlink()
    return old


CRASH = """
import json, sys
from aiida.manage.configuration.profile import Profile
from aiida.storage.psql_dos.migrator import PsqlDosMigrator

with PsqlDosMigrator(Profile("test", json.loads(sys.argv[1]))) as migrator:
    try:
        migrator.migrate()
    except Exception as error:
        print(error)
    else:
        print("no crash")
"""


async def crash_aiida(old: OldDatabase, home: Path) -> str:
    """Have aiida-core 2.9.4 migrate a database that it cannot; what it says."""
    home.mkdir()
    profile = json.dumps(aiida_profile_dictionary(old.dsn, old.repository))
    return await run_aiida(CRASH, home, profile)


async def test_what_aiida_left_half_way_is_recognised_and_comes_out_the_same(
    genuine: OldDatabase, databases: Databases, tmp_path: Path
) -> None:
    """aiida-core 2.9.4 looks for an index by a name that Django 1.7 did not give it."""
    assert "db_dbnode_uuid_62e0bf98" in await crash_aiida(genuine, tmp_path / "home")
    await check_half_way(genuine, "1.0.13", "0008_code_hidden_to_extra", "1.0.8")

    await migrate(genuine, "1.0.45")

    theirs = await load_dump(databases, "legacy/2_after_aiida-1.6.9_django_0045")
    assert await differences(genuine.dsn, theirs, ignored=KEPT) == INDEXES_OF_DJANGO
    assert await fetchval(genuine.dsn, "select to_regclass('alembic_version')") is None
    await databases.drop(theirs)


async def test_a_database_of_our_own_that_aiida_left_half_way_can_be_continued(
    databases: Databases, tmp_path: Path
) -> None:
    """The same where no real database is at hand, and with a second crash, of step 0047."""
    old = await make_old_database(databases, tmp_path / "files")
    reference = await make_old_database(databases, tmp_path / "reference")
    await migrate(old, "1.0.8")
    # As Django 1.7 called it.
    await run_script(old.dsn, "alter index db_dbnode_uuid_62e0bf98 rename to db_dbnode_94f8aed1")
    assert "no crash" not in await crash_aiida(old, tmp_path / "home")
    await check_half_way(old, "1.0.13", "0008_code_hidden_to_extra", "1.0.8")
    await migrate(old, "1.0.45")
    await migrate(reference, "1.0.45")
    # aiida-core has other names for what it made on the way.
    assert (await state_of(old.dsn))[1] == (await state_of(reference.dsn))[1]

    # Its step 0048 gives a column this name.
    await run_script(old.dsn, "alter table db_dbcomputer add column label text")
    assert "label" in await crash_aiida(without_symbols(old), tmp_path / "other_home")
    await check_half_way(old, "1.0.47", "0045_dbgroup_extras", "1.0.45")
    await run_script(old.dsn, "alter table db_dbcomputer drop column label")
    await migrate(old)
    await migrate(reference)
    assert await state_of(old.dsn) == await state_of(reference.dsn)
    for made in (old, reference):
        await databases.drop(made.dsn)


async def test_what_aiida_left_within_a_step_goes_on(
    databases: Databases, main_dsn: str, tmp_path: Path
) -> None:
    """aiida-core 2.x has two revisions for 0024, and commits each."""
    dsn = await load_schema(databases, "django_0024a")
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "set search_path to public;"
        "create table alembic_version (version_num varchar(32) primary key);"
        "insert into alembic_version values ('django_0024a')"
    )
    node = await insert(connection, "db_dbnode", type="data.Data.")
    logs = [await insert(connection, "db_dblog", dbnode_id=node, metadata="{}") for _ in range(2)]
    await connection.close()
    left = OldDatabase(dsn, tmp_path)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn), schema_check=False) as backend:
        assert str(await backend.schema.get_schema_version_database()) == "1.0.23"
        plan = await backend.schema.plan("1.0.25")
        assert [str(step.version) for step in plan.steps] == ["1.0.24", "1.0.25"]
        assert plan.is_half_way
        assert plan.steps[0].changes == "The uuids of logs become unique."
    await migrate(left, "1.0.24", without_repository=True)
    assert await fetchval(dsn, "select to_regclass('alembic_version')") is None
    unique = "select count(*) from pg_constraint where conrelid = 'db_dblog'::regclass"
    assert await fetchval(dsn, f"{unique} and contype = 'u'") == 1
    await migrate(left, without_repository=True)
    assert await fetchval(dsn, "select array_agg(id order by id) from db_dblog") == logs
    connection, new = await asyncpg.connect(dsn), await asyncpg.connect(main_dsn)
    assert await describe(connection) == await describe(new)
    await connection.close()
    await new.close()
    await databases.drop(dsn)


@pytest.mark.thorough
async def test_what_aiida_itself_left_within_a_step_comes_out_the_same(
    databases: Databases, tmp_path: Path
) -> None:
    old = await make_old_database(databases, tmp_path / "files")
    reference = await make_old_database(databases, tmp_path / "reference")
    for made in (old, reference):
        await migrate(made, "1.0.20")
    await run_script(
        old.dsn,
        "create table alembic_version (version_num varchar(32) primary key);"
        "insert into alembic_version values ('django_0020')",
    )
    await migrate_by_aiida(old.dsn, old.repository, "django_0024a")
    for made in (old, reference):
        await migrate(made, "1.0.45")
        await run_script(made.dsn, "update db_dblog set metadata = '{}'")  # theirs stays as it is
    assert (await state_of(old.dsn))[1] == (await state_of(reference.dsn))[1]
    for made in (old, reference):
        await databases.drop(made.dsn)


async def check_half_way(old: OldDatabase, version: str, last_step: str, setting: str) -> None:
    """Both bookkeepings are there, they differ, and the plan says what will be done."""
    query = "select max(name) from django_migrations where app = 'db'"
    assert await fetchval(old.dsn, query) == last_step
    profile = aiidadb.Profile.from_dsn(old.dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        assert str(backend.version) == version
        plan = await backend.schema.plan()
    assert str(plan.origin) == version
    assert plan.is_half_way
    assert "aiidadb_settle_half_way" in plan.sql()
    connection = await asyncpg.connect(old.dsn)
    row = await connection.fetchrow("select * from db_dbsetting where key = 'db|schemaversion'")
    await connection.close()
    assert setting in dict(row).values() or f'"{setting}"' in dict(row).values()


# ------------------------------------------------------------------ every step, one at a time


@pytest.mark.parametrize("stride", some_of([1, 12], [12]))
async def test_step_by_step_is_the_same_as_at_once(
    databases: Databases, tmp_path: Path, stride: int
) -> None:
    one_by_one = await make_old_database(databases, tmp_path / "one")
    at_once = await make_old_database(databases, tmp_path / "all")
    for number in range(1 + stride, 51, stride):
        assert len((await migrate(one_by_one, f"1.0.{number}")).steps) == stride
    await migrate(one_by_one)
    await migrate(at_once)
    assert await state_of(one_by_one.dsn) == await state_of(at_once.dsn)
    connection = await asyncpg.connect(at_once.dsn)
    assert len((await content(connection))["db_dbnode"]) == 10
    await connection.close()
    for made in (one_by_one, at_once):
        await databases.drop(made.dsn)
