"""What the steps of the Django line leave, beside what aiida-core leaves."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import asyncpg

from tests.helpers.aiida_process import copy_of, migrate_by_aiida
from tests.helpers.catalog import describe
from tests.helpers.single_steps import run_step
from tests.helpers.table_content import Content, content
from tests.helpers.table_rows import insert, insert_attribute

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases
    from tests.migration.conftest import At

NODE_TYPES = [
    "calculation.job.quantumespresso.pw.PwCalculation.",
    "calculation.job.JobCalculation.",
    "calculation.job.mine.MyCalculation.",
    "calculation.job.simpleplugins.mine.MyCalculation.",
    "calculation.inline.InlineCalculation.",
    "calculation.function.FunctionCalculation.",
    "calculation.work.WorkCalculation.",
    "calculation.process.ProcessCalculation.",
    "calculation.Calculation.",
    "code.Code.",
    "data.parameter.ParameterData.",
    "data.structure.StructureData.",
    "mine.Mine.",
]
LINK_TYPES = ["createlink", "returnlink", "inputlink", "calllink", "mine", ""]
KEYS = [
    "custom_environment_variables",
    "custom_environment_variables.PATH",
    "jobresource_params",
    "jobresource_params.num_machines",
    "parser",
    "_process_label",
    "function_name",
    "input_plugin",
    "mine",
]
GROUP_TYPES = ["", "data.upf.family", "aiida.import", "autogroup.run", "mine"]


async def fill(connection: asyncpg.Connection, seed: int) -> None:
    """Fill a database at 1.0.14 with all that the steps look for, and with what resembles it."""
    draw = random.Random(seed)
    nodes = [
        await insert(
            connection,
            "db_dbnode",
            type=draw.choice(NODE_TYPES),
            label=str(number),
            process_type=draw.choice([None, None, "mine"]),
        )
        for number in range(150)
    ]
    for number in range(600):
        await insert(
            connection,
            "db_dblink",
            input_id=draw.choice(nodes),
            output_id=draw.choice(nodes),
            label=str(number),
            type=draw.choice(LINK_TYPES),
        )
    for pk in nodes:
        for key in draw.sample(KEYS, 4):
            await insert_attribute(connection, pk, key, draw.choice(["x", 1, True, {}]))
        await insert_attribute(connection, pk, draw.choice(["_aiida_hash", "a"]), "x", extra=True)
    for number, type_string in enumerate(GROUP_TYPES):
        group = await insert(connection, "db_dbgroup", name=str(number), type=type_string)
        for pk in draw.sample(nodes, 5):
            await insert(connection, "db_dbgroup_dbnodes", dbgroup_id=group, dbnode_id=pk)
    for pk in draw.sample(nodes, 30):
        await insert(
            connection,
            "db_dblog",
            objname=draw.choice(["node.mine.", "node.", "node", "aiida.workflows.user.x", "mine"]),
            objpk=draw.choice([pk, pk, pk, 9999]),
            metadata=draw.choice(["{}", '{"a": [1.0, "é"]}', '{"b": null, "a": 1e3}']),
        )
        await insert(connection, "db_dbcomment", dbnode_id=pk, content="so")
    computer = await insert(
        connection, "db_dbcomputer", name="c", metadata='{"a": 1.0}', transport_params="{}"
    )
    await insert(
        connection, "db_dbauthinfo", dbcomputer_id=computer, metadata="{}", auth_params='{"p": 22}'
    )
    await insert(connection, "db_dbworkflow", label="w")


def without_uuids_of_logs(found: Content) -> Content:
    """Each migration creates them again."""
    for row in found["db_dblog"].values():
        del row["uuid"]
    return found


async def test_the_steps_leave_what_aiida_leaves(
    at: At, databases: Databases, tmp_path: Path
) -> None:
    connection = await at(14)
    await fill(connection, seed=14)
    # Neither is connected to while the one is made from the other.
    name = await connection.fetchval("select current_database()")
    await connection.close()
    theirs_dsn = await copy_of(databases, name)
    ours, theirs = await asyncpg.connect(databases.dsn(name)), await asyncpg.connect(theirs_dsn)
    try:
        for number in range(15, 37):
            await run_step(ours, number, export_directory=tmp_path, without_repository=True)
        await theirs.execute(
            """
            create table alembic_version (version_num varchar(32) primary key);
            insert into alembic_version values ('django_0014');
            """
        )
        await migrate_by_aiida(theirs_dsn, tmp_path, "django_0036")
        await theirs.execute("drop table alembic_version")

        assert without_uuids_of_logs(await content(ours)) == without_uuids_of_logs(
            await content(theirs)
        )
        assert await describe(ours, names=False) == await describe(theirs, names=False)
    finally:
        await ours.close()
        await theirs.close()
        await databases.drop(theirs_dsn)


async def test_a_genuine_database_comes_out_as_aiida_1_6_9_left_it(
    legacy: asyncpg.Connection,
    legacy_after_aiida: asyncpg.Connection,
    legacy_repository: Path,
    tmp_path: Path,
) -> None:
    mtimes = await legacy.fetch("select id, mtime from db_dbnode order by id")

    for number in range(9, 46):
        await run_step(legacy, number, repository=legacy_repository, export_directory=tmp_path)

    assert await legacy.fetch("select id, mtime from db_dbnode order by id") == mtimes
    found = without_uuids_of_logs(await content(legacy))
    expected = without_uuids_of_logs(await content(legacy_after_aiida))
    for rows in (*found["db_dbnode"].values(), *expected["db_dbnode"].values()):
        # AiiDA sets it to the time of the migration.
        del rows["mtime"]
    values = [
        {json.loads(str(row["key"])): row["val"] for row in rows.values()}
        for rows in (found.pop("db_dbsetting"), expected.pop("db_dbsetting"))
    ]
    assert values[0] == values[1]
    assert found == expected
    ours = await describe(legacy, names=False)
    theirs = await describe(legacy_after_aiida, names=False)
    differing = {
        table: set(ours[table]) ^ set(theirs[table])
        for table in ours
        if set(ours[table]) != set(theirs[table])
    }
    # Django 1.7 forgot it, and Django 2.2 did not make up for it.
    forgotten = "index CREATE INDEX ON public.db_dblink USING btree (type varchar_pattern_ops)"
    assert differing == {"db_dblink": {forgotten}}
    assert ours.keys() == theirs.keys()
