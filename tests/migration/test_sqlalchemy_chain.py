"""Whole ways through the sqlalchemy line, from databases of AiiDA 0.7 to 1.3 and from nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aiidadb.migration.repository import container
from aiidadb.migration.steps import STEPS
from aiidadb.version.sqlalchemy_revisions import REVISIONS
from tests.helpers.aiida_process import run_aiida
from tests.helpers.aiida_reading import READ_IT_ALL, files_before, give_aiida_a_profile
from tests.helpers.choices import some_of
from tests.helpers.comparison import differences
from tests.helpers.databases import connected, fetchval, run_script
from tests.helpers.migrating import migrate, opened
from tests.helpers.old_database import OldDatabase, state_of
from tests.helpers.real_databases import load_dump, load_schema, unpack
from tests.helpers.single_steps import database_at, run_step
from tests.helpers.sqlalchemy_database import make_first_database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")

HEAD = "0edcdd5a30f0"
MTIMES = "select json_object_agg(uuid, mtime order by uuid)::text from db_dbnode"
FUNCTION = "select md5(prosrc) from pg_proc where proname = 'update_tc'"
TRIGGER = "select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal"


@pytest.fixture
async def genuine(databases: Databases, tmp_path: Path) -> OldDatabase:
    """What AiiDA 0.12.5 itself made, at 7a6587e16f4c."""
    dsn = await load_dump(databases, "legacy_sqla/1_aiida-0.12.5_7a6587e16f4c")
    return OldDatabase(dsn, unpack("legacy_sqla/repository_aiida-0.12.5", tmp_path / "files"))


@pytest.fixture
async def first(databases: Databases, tmp_path: Path) -> OldDatabase:
    """A small database as AiiDA 0.7 left it, with something in it for every step."""
    return await make_first_database(databases, tmp_path / "files")


def written(directory: Path) -> dict[str, object]:
    """What the JSON files of a directory hold, by the part of their names before the time."""
    return {
        path.name.rsplit("-", 2)[0]: json.loads(path.read_text("utf-8"))
        for path in directory.iterdir()
    }


# ------------------------------------------------------------------ from nothing


async def test_the_first_step_makes_what_aiida_made(databases: Databases) -> None:
    ours = await databases.create()
    theirs = await load_schema(databases, "sqlalchemy_01_e15ef2630a1b")
    async with connected(ours) as connection:
        await connection.execute("create table alembic_version (version_num varchar(32))")
        await run_step(connection, 1, line="sqlalchemy")
    assert await differences(ours, theirs, names=True) == []
    assert await fetchval(ours, TRIGGER) == await fetchval(theirs, TRIGGER)
    assert await fetchval(ours, FUNCTION) is not None


# ------------------------------------------------------------------ a real database


async def test_a_real_database_of_0_12_comes_out_as_aiida_left_it_at_each_head(
    genuine: OldDatabase, databases: Databases, tmp_path: Path
) -> None:
    exports = tmp_path / "exports"
    mtimes = await fetchval(genuine.dsn, MTIMES)
    theirs = await load_dump(databases, "legacy_sqla/2_after_aiida-1.6.9_0edcdd5a30f0")

    await migrate(genuine.dsn, HEAD, repository=genuine.repository, export_directory=exports)

    assert await fetchval(genuine.dsn, MTIMES) == mtimes
    assert await differences(genuine.dsn, theirs) == []
    await databases.drop(theirs)

    theirs = await load_dump(databases, "legacy_sqla/3_after_aiida-2.9.4_main_0002")
    await migrate(genuine.dsn, repository=genuine.repository, export_directory=exports)
    assert await fetchval(genuine.dsn, MTIMES) == mtimes
    # The id of the container is a new one for each that is made.
    (difference,) = await differences(genuine.dsn, theirs, names=True)
    assert str(container.read_container_id(genuine.repository)) in difference
    await databases.drop(theirs)

    ours = written(exports)
    for prefix, file in {
        "legacy_workflow_logs": "legagy_wf_logs-qti2c_mc.log",
        "unknown_entity_logs": "unknown_entity_logs-qp2phvy0.log",
        "no_node_entity_logs": "no_node_entity_logs-753a463s.log",
    }.items():
        aiidas = unpack("legacy_sqla/files_written_by_aiida-1.6.9", tmp_path / "written") / file
        assert ours[prefix] == json.loads(aiidas.read_text("utf-8"))
    aiidas = tmp_path / "written" / "legacy-workflows9opjchl3.json"
    tables = json.loads(aiidas.read_text("utf-8"))
    for step in ours["legacy-workflows"]["workflow_step"]:
        # What AiiDA drops: here its calculations and workflows are kept with each step.
        assert (step.pop("calculations"), step.pop("sub_workflows")) == ([247], [2])
    assert ours["legacy-workflows"] == {
        table: sorted(rows, key=lambda row: row["id"]) for table, rows in tables.items()
    }


async def test_aiida_opens_and_reads_a_real_database_of_0_12_after_the_whole_way(
    genuine: OldDatabase, tmp_path: Path
) -> None:
    await migrate(genuine.dsn, repository=genuine.repository)
    give_aiida_a_profile(tmp_path / "home", genuine.dsn, genuine.repository)
    told, logs, unreferenced, valid, objects = json.loads(
        await run_aiida(READ_IT_ALL, tmp_path / "home")
    )
    assert (len(told), unreferenced, valid) == (251, [], True)
    assert logs == await fetchval(genuine.dsn, "select count(*) from db_dblog")
    assert objects > 0
    files = {uuid: facts[3] for uuid, facts in told.items() if facts[3]}
    before = files_before(genuine.repository, spent=())
    for uuid in before:
        if told[uuid][0] == "TrajectoryData":
            del before[uuid]["symbols.npy"]
    assert files == {uuid: of_node for uuid, of_node in before.items() if of_node}


async def test_a_dry_run_goes_all_the_way_and_changes_nothing(
    genuine: OldDatabase, tmp_path: Path
) -> None:
    """All of it in one transaction, in which aiida-core stumbles over pending trigger events."""
    before = await state_of(genuine.dsn)
    report = await migrate(
        genuine.dsn, repository=genuine.repository, dry_run=True, export_directory=tmp_path / "e"
    )
    assert len(report.steps) == 51 - 6 + 2
    assert await state_of(genuine.dsn) == before
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("stop", some_of(range(7, 52), [21]))
async def test_a_real_database_comes_out_the_same_where_the_migration_was_stopped(
    genuine: OldDatabase, databases: Databases, stop: int
) -> None:
    theirs = await load_dump(databases, "legacy_sqla/3_after_aiida-2.9.4_main_0002")
    for target in (REVISIONS[stop - 1], None):
        await migrate(genuine.dsn, target, repository=genuine.repository)
    (difference,) = await differences(genuine.dsn, theirs, names=True)
    assert str(container.read_container_id(genuine.repository)) in difference
    await databases.drop(theirs)


# ------------------------------------------------------------------ AiiDA 0.7 to 0.9


async def test_a_database_without_a_revision_goes_all_the_way(
    first: OldDatabase, databases: Databases, tmp_path: Path
) -> None:
    """AiiDA 0.7 has its trigger, no table of Alembic's, and two constraints of its own on links."""
    report = await migrate(
        first.dsn, repository=first.repository, export_directory=tmp_path / "exports"
    )
    assert report.steps[0].name == "02_70c7d732f1b2_delete_dbpath"
    assert await fetchval(
        first.dsn, "select array_agg(version_num)::text from alembic_version"
    ) == ("{main_0002}")
    assert await fetchval(first.dsn, FUNCTION) is None
    assert await fetchval(first.dsn, "select val from db_dbsetting where key = 'db|schemaversion'")
    theirs = await load_schema(databases, "main_0002")
    assert await differences(first.dsn, theirs, names=True, content=False) == []
    assert sorted(written(tmp_path / "exports")) == [
        "doubled_memberships",
        "legacy-workflows",
        "legacy_workflow_logs",
        "nameless_entity_logs",
        "no_node_entity_logs",
        "removed_links",
        "repository-mismatches",
        "unknown_entity_logs",
    ]
    give_aiida_a_profile(tmp_path / "home", first.dsn, first.repository)
    told, *_ = json.loads(await run_aiida(READ_IT_ALL, tmp_path / "home"))
    assert sorted(facts[0] for facts in told.values()) == [
        "BandsData", "CalcFunctionNode", "CalcJobNode", "CalcJobNode", "Code", "Code", "Dict",
        "FolderData", "StructureData", "TrajectoryData", "WorkChainNode", "WorkFunctionNode",
    ]  # fmt: skip


async def test_it_comes_out_the_same_where_the_migration_was_stopped_after_each_step(
    first: OldDatabase, databases: Databases, tmp_path: Path
) -> None:
    other = await make_first_database(databases, tmp_path / "other_files")
    for version in STEPS:
        if version.line != "django" and version.number > (version.line == "sqlalchemy"):
            await migrate(first.dsn, str(version), repository=first.repository)
    await migrate(other.dsn, repository=other.repository)
    assert await state_of(first.dsn) == await state_of(other.dsn)


async def test_its_trigger_stays_where_the_plan_ends_before_it_goes(
    first: OldDatabase,
) -> None:
    async with opened(first.dsn) as backend:
        plan = await backend.schema.plan("e15ef2630a1b")
    assert plan.steps == ()


async def test_a_trigger_of_its_name_that_does_something_else_is_refused(
    first: OldDatabase,
) -> None:
    await run_script(
        first.dsn,
        "create or replace function update_tc() returns trigger language plpgsql as "
        "$$ begin return null; end $$",
    )
    with pytest.raises(Exception, match=r"this is not it"):
        await migrate(first.dsn, repository=first.repository)


# ------------------------------------------------------------------ as a script


async def test_the_script_of_a_plan_does_what_the_migration_does(databases: Databases) -> None:
    """From after the last step that writes a file to the head."""
    dsns = [await database_at(databases, 33, "sqlalchemy") for _ in range(2)]
    async with opened(dsns[0]) as backend:
        script = (await backend.schema.plan(HEAD)).sql()
    await run_script(dsns[0], script)
    await migrate(dsns[1], HEAD)
    assert await state_of(dsns[0]) == await state_of(dsns[1])
    assert await fetchval(dsns[0], "select version_num from alembic_version") == HEAD
