"""Genuine databases of the old SQLAlchemy backend, beside aiida-core: 2.1.2 migrates, 2.9.4 reads.

2.1.2 is the last release that migrates them: later ones fail with "pending trigger events".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aiidadb.migration.repository import container
from tests.helpers.aiida_process import run_aiida
from tests.helpers.aiida_reading import READ_IT_ALL, files_before, give_aiida_a_profile
from tests.helpers.choices import some_of
from tests.helpers.comparison import differences
from tests.helpers.databases import fetchval
from tests.helpers.migrating import migrate, opened
from tests.helpers.old_database import OldDatabase
from tests.helpers.real_databases import load_dump, load_schema, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases


@pytest.fixture
async def made_by_1_6_9(databases: Databases, tmp_path: Path) -> OldDatabase:
    """What AiiDA 1.6.9 itself made, at the head of its line."""
    dsn = await load_dump(databases, "legacy_sqla/1_aiida-1.6.9_0edcdd5a30f0")
    return OldDatabase(dsn, unpack("legacy_sqla/repository_aiida-1.6.9", tmp_path / "files"))


async def test_a_database_of_1_6_9_comes_out_as_2_1_2_migrates_it(
    made_by_1_6_9: OldDatabase, databases: Databases
) -> None:
    dsn, repository = made_by_1_6_9.dsn, made_by_1_6_9.repository
    theirs = await load_dump(databases, "legacy_sqla/2_after_aiida-2.1.2_main_0001")
    await migrate(dsn, "main_0001", repository=repository)
    # Times of nodes, comments and logs included; the metadata of files has their hashes.
    ignored = ["db_dbsetting[repository|uuid].val"]
    assert await differences(dsn, theirs, names=True, ignored=ignored) == []
    found = await fetchval(
        dsn, "select val #>> '{}' from db_dbsetting where key = 'repository|uuid'"
    )
    assert found == str(container.read_container_id(repository))
    await databases.drop(theirs)


async def test_aiida_2_9_4_reads_every_node_and_file_of_a_database_of_1_6_9(
    made_by_1_6_9: OldDatabase, tmp_path: Path
) -> None:
    before = files_before(made_by_1_6_9.repository)
    await migrate(made_by_1_6_9.dsn, repository=made_by_1_6_9.repository)
    give_aiida_a_profile(tmp_path / "home", made_by_1_6_9.dsn, made_by_1_6_9.repository)
    told, logs, unreferenced, valid, _ = json.loads(await run_aiida(READ_IT_ALL, tmp_path / "home"))
    assert (len(told), logs, unreferenced, valid) == (52, 9, [], True)
    assert {uuid: facts[3] for uuid, facts in told.items() if facts[3]} == {
        uuid: of_node for uuid, of_node in before.items() if of_node
    }
    assert sum(len(facts[3]) for facts in told.values()) == 27


# ------------------------------------------------------------------ older releases, all the way


# What each release notes, or 0.7 to 0.9 do not; how many nodes and logs there are at the end.
RELEASES = {
    "0.7.1": ("e15ef2630a1b", 7, 0),
    "0.8.1": ("e15ef2630a1b", 10, 1),
    "0.9.1": ("e15ef2630a1b", 10, 1),
    "0.10.1": ("89176227b25", 10, 1),
    "0.11.4": ("35d4ee9a1b0e", 10, 1),
    "0.12.5": ("7a6587e16f4c", 251, 12),
}


@pytest.mark.parametrize("release", some_of(RELEASES, chosen=["0.9.1"]))
async def test_aiida_2_9_4_reads_every_node_and_file_of_databases_of_0_x(
    databases: Databases, tmp_path: Path, release: str
) -> None:
    revision, nodes, logs = RELEASES[release]
    dsn = await load_dump(databases, f"legacy_sqla/1_aiida-{release}_{revision}")
    repository = unpack(f"legacy_sqla/repository_aiida-{release}", tmp_path / "files")
    before = files_before(repository, spent=())
    async with opened(dsn) as backend:
        assert str(await backend.schema.get_schema_version_database()) == revision

    await migrate(dsn, repository=repository, export_directory=tmp_path)

    theirs = await load_schema(databases, "main_0002")
    assert await differences(dsn, theirs, names=True, content=False) == []
    await databases.drop(theirs)
    give_aiida_a_profile(tmp_path / "home", dsn, repository)
    told, found, unreferenced, valid, _ = json.loads(
        await run_aiida(READ_IT_ALL, tmp_path / "home")
    )
    assert (len(told), found, unreferenced, valid) == (nodes, logs, [], True)
    for uuid, (kind, *_) in told.items():
        if kind == "TrajectoryData":  # an attribute now; other arrays may have that name
            before[uuid].pop("symbols.npy", None)
    assert {uuid: facts[3] for uuid, facts in told.items() if facts[3]} == {
        uuid: of_node for uuid, of_node in before.items() if of_node
    }
    await databases.drop(dsn)
