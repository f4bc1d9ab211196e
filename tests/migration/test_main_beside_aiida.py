"""What the way to AiiDA 2.x leaves, beside what aiida-core itself leaves, and opened by it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.helpers.aiida_process import copy_of, migrate_by_aiida, run_aiida
from tests.helpers.aiida_storage import aiida_profile_dictionary
from tests.helpers.catalog import describe
from tests.helpers.choices import some_of
from tests.helpers.comparison import differences
from tests.helpers.main_line import migrate_to_main
from tests.helpers.old_nodes import add_files
from tests.helpers.real_databases import load_dump, load_schema, unpack
from tests.helpers.single_steps import database_at
from tests.helpers.table_content import (
    Row,
    Rows,
    add_computer,
    add_group,
    add_link,
    add_node,
    content,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases
    from tests.migration.conftest import At

CALC_JOB = "process.calculation.calcjob.CalcJobNode."
CALC_FUNCTION = "process.calculation.calcfunction.CalcFunctionNode."
WORK_CHAIN = "process.workflow.workchain.WorkChainNode."


@dataclass(frozen=True)
class RandomNodes:
    """Nodes with all that the steps look for, and with what resembles it."""

    seed: int

    async def add(self, connection: asyncpg.Connection, count: int) -> None:
        draw = random.Random(self.seed)
        for _ in range(count):
            node_type = draw.choice(
                [CALC_JOB, CALC_JOB, CALC_FUNCTION, WORK_CHAIN, "data.dict.Dict."]
            )
            await add_node(
                connection,
                node_type,
                attributes=self._attributes(draw, is_process=node_type.startswith("process.")),
                extras=draw.choice([None, {}, {"_aiida_hash": "abc", "x": 3.0}, {"hidden": True}]),
                process_type=draw.choice(
                    [None, "aiida.calculations:arithmetic.add", "aiida.calculations:mine", ""]
                ),
            )

    @staticmethod
    def _attributes(draw: random.Random, *, is_process: bool) -> object:
        values: dict[str, list[object]] = {
            "state": ["NEW", "PARSING", "RETRIEVALFAILED", "FAILED", "FINISHED", "new", None],
            "process_state": ["created", "waiting", "finished", "killed", None, 3],
            "process_status": ["busy"],
            "process_label": ["mine"],
            "exit_status": [0, 1, None],
            "_sealed": [True, False, None],
            "sealed": [True, False, None],
            "_finished": [True],
            "_failed": [True],
            "_aborted": [None],
            "_do_abort": [True],
            "numbers": [[3.0, -0.5, 1e300, {"_sealed": 1}]],
        }
        if is_process:
            values["parser_name"] = ["arithmetic.add", "templatereplacer.doubler", "mine", None]
        if draw.random() < 0.05:
            return None
        return {key: draw.choice(them) for key, them in values.items() if draw.random() < 0.5}


async def test_the_steps_change_what_aiida_changes(
    databases: Databases, tmp_path: Path, at: At
) -> None:
    connection = await at(37)
    await RandomNodes(seed=45).add(connection, 300)
    for transport, scheduler in (("ssh", "slurm"), ("local", "direct"), ("mine", "mine")):
        await add_computer(connection, transport, scheduler)
    for type_string in ("user", "auto.run", "mine"):
        await add_group(connection, "campaign", type_string)
    for label in ("_return", "x"):
        await add_link(connection, 1, 2, label)
    # Neither is connected to while the one is made from the other.
    name = await connection.fetchval("select current_database()")
    await connection.close()
    theirs_dsn = await copy_of(databases, name)
    try:
        await migrate_by_aiida(theirs_dsn, tmp_path)
        ours, theirs = await asyncpg.connect(databases.dsn(name)), await asyncpg.connect(theirs_dsn)
        try:
            await migrate_to_main(ours, 37)
            found, expected = await content(ours), await content(theirs)
            settings = values_of_settings(expected.pop("db_dbsetting"))
            del settings["repository|uuid"]  # there is no repository for ours
            assert values_of_settings(found.pop("db_dbsetting")) == settings
            assert found == expected
            assert await describe(ours) == await describe(theirs)
        finally:
            await ours.close()
            await theirs.close()
    finally:
        await databases.drop(theirs_dsn)


def values_of_settings(rows: Rows) -> Row:
    return {json.loads(str(row["key"])): row["val"] for row in rows.values()}


USE_THE_DATABASE = """
import json
from aiida import load_profile, orm
from aiida.manage import get_manager
from disk_objectstore import Container

load_profile()
told = {}
for node in orm.QueryBuilder().append(orm.Node).all(flat=True):
    files = {name: node.base.repository.get_object_content(name) for name in
             node.base.repository.list_object_names()}
    told[node.pk] = [type(node).__name__, node.base.attributes.all, files]
assert orm.QueryBuilder().append(orm.Node, filters={"node_type": {"like": "data.core.%"}}).count()
assert orm.load_node(orm.Int(3, user=orm.User.collection.get(email="ada@epfl.ch")).store().pk) == 3

storage = get_manager().get_profile_storage()
with Container(storage.profile.repository_path / "container") as container:
    assert container.validate().is_valid()
print(json.dumps(told))
"""


def write_aiida_configuration(home: Path, dsn: str, repository: Path) -> None:
    """Give aiida-core 2.9.4 a profile for a database, the default one."""
    folder = home / ".aiida"
    folder.mkdir()
    profile = {**aiida_profile_dictionary(dsn, repository), "test_profile": False}
    configuration = {
        "CONFIG_VERSION": {"CURRENT": 9, "OLDEST_COMPATIBLE": 9},
        "profiles": {"test": profile},
        "default_profile": "test",
    }
    (folder / "config.json").write_text(json.dumps(configuration), "utf-8")


async def test_aiida_opens_the_database_and_reads_every_node(
    databases: Databases, tmp_path: Path
) -> None:
    dsn = await database_at(databases, 37)
    connection = await asyncpg.connect(dsn)
    repository = tmp_path / "files"
    uuid = "01234567-89ab-4def-8123-456789abcdef"
    try:
        folder = await add_node(connection, "data.folder.FolderData.", attributes={}, uuid=uuid)
        data = await add_node(connection, "data.dict.Dict.", attributes={"a": [3.0, {"b": None}]})
        structure = await add_node(connection, "data.structure.StructureData.", attributes={})
        job = await add_node(
            connection,
            CALC_JOB,
            attributes={"state": "FINISHED", "parser_name": "arithmetic.add"},
            process_type="aiida.calculations:arithmetic.add",
        )
        await connection.execute("update db_dbnode set extras = '{}'")
        await add_link(connection, structure, job, "structure")
        add_files(repository, uuid, {"a.txt": b"content"})
        await migrate_to_main(connection, 37, repository=repository)
        write_aiida_configuration(tmp_path, dsn, repository)

        told = json.loads(await run_aiida(USE_THE_DATABASE, tmp_path))
        verdi = "from aiida.cmdline.commands.cmd_verdi import verdi; verdi()"
        info = await run_aiida(verdi, tmp_path, "storage", "info")
        version = await run_aiida(verdi, tmp_path, "storage", "version")
    finally:
        await connection.close()
        await databases.drop(dsn)

    job_attributes = {
        "process_state": "finished",
        "process_label": "Legacy JobCalculation",
        "exit_status": 0,
        "sealed": True,
        "parser_name": "core.arithmetic.add",
    }
    assert {int(pk): facts for pk, facts in told.items()} == {
        folder: ["FolderData", {}, {"a.txt": "content"}],
        data: ["Dict", {"a": [3.0, {"b": None}]}, {}],
        structure: ["StructureData", {}, {}],
        job: ["CalcJobNode", job_attributes, {}],
    }
    assert "count: 5" in info  # with the one that it stored
    assert "main_0002" in version


# ------------------------------------------------------------------ what AiiDA left of real ones


@pytest.mark.parametrize("number", some_of(range(38, 51), [38, 46, 50]))
async def test_the_schema_after_the_step_is_aiidas(number: int, databases: Databases) -> None:
    ours = await database_at(databases, number)
    theirs = await load_schema(databases, f"django_{number:04}")
    try:
        found = await differences(ours, theirs, names=number == 50, content=False)
        # aiida-core 2.9.4's tables of Django are stubs, as it makes them to drop them.
        assert [line for line in found if not line.startswith(("auth_", "django_"))] == []
    finally:
        await databases.drop(ours)
        await databases.drop(theirs)


async def test_a_real_database_comes_out_as_aiida_left_it(
    databases: Databases, tmp_path: Path
) -> None:
    ours = await load_dump(databases, "legacy/2_after_aiida-1.6.9_django_0045")
    theirs = await load_dump(databases, "legacy/3_after_aiida-2.9.4_main_0002")
    unpack("legacy/repository_after_aiida-1.6.9", tmp_path)
    connection = await asyncpg.connect(ours)
    try:
        await migrate_to_main(connection, 45, repository=tmp_path)
        found = await differences(ours, theirs, names=True)
    finally:
        await connection.close()
        await databases.drop(ours)
        await databases.drop(theirs)
    # The container's id is of each migration's own, as is the id of the setting that holds it; the
    # version is that which was written last in Django's bookkeeping.
    assert [line.partition(":")[0] for line in found] == [
        "db_dbsetting[db|schemaversion].val",
        "db_dbsetting[repository|uuid].id",
        "db_dbsetting[repository|uuid].val",
    ]
