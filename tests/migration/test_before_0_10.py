"""Databases that AiiDA 0.6 to 0.9 itself made and filled go all the way.

They have what later ones have not: the trigger that kept the closure of the links, with its table
and rows, links without a type, tables of Django's administration, of kombu and of celery, a lock,
and settings of nested values.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aiidadb.exceptions import StorageMigrationError
from tests.helpers.catalog import describe
from tests.helpers.choices import some_of
from tests.helpers.databases import connected, fetchval, run_script
from tests.helpers.migrating import migrate, opened
from tests.helpers.old_database import state_of
from tests.helpers.real_databases import load_dump, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")

MADE_BY = {
    "0.6.0": "1.0.2",
    "0.7.0": "1.0.3",
    "0.8.1": "1.0.4",
    "0.9.1": "1.0.4",
}

NODES = {
    "data.core.array.kpoints.KpointsData.",
    "data.core.array.trajectory.TrajectoryData.",
    "data.core.code.Code.",
    "data.core.dict.Dict.",
    "data.core.singlefile.SinglefileData.",
    "data.core.structure.StructureData.",
    "process.calculation.calcfunction.CalcFunctionNode.",
    "process.calculation.calcjob.CalcJobNode.",
}

LINKS = [
    ("code", "input_calc"),
    ("out", "create"),
    ("output_parameters", "create"),
    ("p", "input_calc"),
    ("parameters", "input_calc"),
]

NESTED = {
    "nested": {
        "a": [1, 2.5, None, {"b": True}],
        "c": {},
    },
    "mylist": ["x", ["y"], []],
}


async def load(databases: Databases, release: str, directory: Path) -> tuple[str, Path]:
    """The database of a release, and its file repository."""
    version = f"django_{int(MADE_BY[release].rpartition('.')[2]):04}"
    dsn = await load_dump(databases, f"legacy/1_aiida-{release}_{version}")
    return dsn, unpack(f"legacy/repository_aiida-{release}", directory / "repository")


@pytest.mark.parametrize("release", some_of(MADE_BY, chosen=["0.6.0", "0.9.1"]))
async def test_a_database_of_aiida_before_0_10_goes_all_the_way(
    databases: Databases, main_dsn: str, tmp_path: Path, release: str
) -> None:
    dsn, repository = await load(databases, release, tmp_path)
    assert await fetchval(dsn, "select count(*) from db_dbpath") > 0
    times = "select json_object_agg(id, mtime order by id)::text from db_dbnode"
    mtimes = await fetchval(dsn, times)
    before = await state_of(dsn)
    async with opened(dsn, repository) as backend:
        assert str(backend.version) == MADE_BY[release]
        plan = await backend.schema.plan()
        assert str(plan.origin) == MADE_BY[release]
        await backend.schema.migrate(dry_run=True)
        assert await state_of(dsn) == before
        await backend.schema.migrate("1.0.5")
        report = await backend.schema.migrate()
    assert str(report.version) == "main_0002"
    assert len(report.files) >= 3  # two kinds of logs, and the workflows

    async with connected(dsn) as connection, connected(main_dsn) as new:
        expected = await describe(new)
        found = await describe(connection)
        assert {table: found[table] for table in expected} == expected
        # AiiDA never used these, and no step touches them.
        kept = {"django_session", "django_site", "djkombu_message", "djkombu_queue"}
        assert found.keys() - expected.keys() >= kept
        types = await connection.fetch("select distinct node_type from db_dbnode")
        assert {row["node_type"] for row in types} >= NODES
        links = await connection.fetch("select label, type from db_dblink order by label")
        assert [tuple(row) for row in links if row["label"] in dict(LINKS)] == LINKS
        settings = dict(
            await connection.fetch("select key, val::text from db_dbsetting where key !~ '[|]'")
        )
    nested = {key: json.loads(settings.pop(key)) for key in NESTED}
    assert nested["nested"].pop("d").startswith("201")
    assert nested == NESTED
    assert settings == {"schema_generation": '"1"'}
    assert await fetchval(dsn, times) == mtimes
    assert await fetchval(dsn, "select count(*) from pg_trigger where not tgisinternal") == 0
    files = "select count(*) from db_dbnode where repository_metadata <> '{}'"
    assert await fetchval(dsn, files) == 2
    await databases.drop(dsn)


@pytest.mark.quick
async def test_what_somebody_added_to_such_a_database_is_still_found(
    databases: Databases, tmp_path: Path
) -> None:
    dsn, repository = await load(databases, "0.7.0", tmp_path)
    await run_script(
        dsn,
        """
        create view public.mine as select parent_id, child_id from public.db_dbpath;
        create trigger mine after insert on public.db_dblink
        for each row execute function public.update_tc();
        """,
    )
    with pytest.raises(StorageMigrationError) as refused:
        await migrate(dsn, repository=repository)
    assert str(refused.value).startswith(
        "the migration to main_0002 is prevented by view mine (on db_dbpath), trigger mine on "
        "table db_dblink (on update_tc()): PostgreSQL does not change what others depend on"
    )
    assert "autoupdate_tc" not in str(refused.value)
    await databases.drop(dsn)
