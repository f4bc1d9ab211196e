"""What the steps of the sqlalchemy line leave of random content, beside what aiida-core leaves."""

from __future__ import annotations

import json
import random
import uuid as uuids
from typing import TYPE_CHECKING

import asyncpg
import pytest

from aiidadb.version.sqlalchemy_revisions import REVISIONS
from tests.helpers.aiida_process import copy_of, run_aiida
from tests.helpers.aiida_storage import aiida_profile_dictionary
from tests.helpers.catalog import describe
from tests.helpers.single_steps import database_at, run_step
from tests.helpers.table_content import content
from tests.helpers.table_rows import insert
from tests.migration.test_steps_beside_aiida import (
    GROUP_TYPES,
    LINK_TYPES,
    NODE_TYPES,
    without_uuids_of_logs,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases

# One transaction each: in a single one aiida-core stumbles over pending trigger events.
MIGRATE = """
import json, sys
from aiida.manage.configuration.profile import Profile
from aiida.storage.psql_dos.migrations.utils import provenance_redesign
from aiida.storage.psql_dos.migrator import PsqlDosMigrator

provenance_redesign.write_database_integrity_violation = lambda *_: None

for revision in sys.argv[2:]:
    with PsqlDosMigrator(Profile("test", json.loads(sys.argv[1]))) as migrator:
        migrator.migrate_up(f"sqlalchemy@{revision}")
"""
KEYS = [
    "_process_label",
    "_sealed",
    "custom_environment_variables",
    "environment_variables",
    "function_name",
    "hidden",
    "input_plugin",
    "jobresource_params",
    "mine",
    "parser",
    "parser_name",
    "process_state",
    "sealed",
    "state",
]
VALUES = [
    "simpleplugins.arithmetic.add", "FINISHED", "TOSUBMIT", "running", 1, True, False, None,
    {"a": [1.0, None]}, [],
]  # fmt: skip
FIRST, LAST = 2, 44


async def fill(connection: asyncpg.Connection, seed: int) -> None:
    """Fill a database after the second revision with all that the steps look for."""
    draw = random.Random(seed)

    def document() -> str:
        return json.dumps({key: draw.choice(VALUES) for key in draw.sample(KEYS, 5)})

    nodes = []
    for number in range(150):
        kind = draw.choice([*NODE_TYPES, "data.base.Int.", "data.base.Bool.", "data.mine.Mine."])
        pk = await insert(connection, "db_dbnode", type=kind, label=str(number))
        extras = draw.choice(['{"_aiida_hash": 1, "a": null}', '{"hidden": 3}', "{}"])
        await connection.execute(
            "update db_dbnode set uuid = gen_random_uuid(), attributes = $2::text::jsonb,"
            " extras = $3::text::jsonb where id = $1",
            pk,
            document(),
            extras,
        )
        nodes.append(pk)
    for number in range(600):
        await insert(
            connection,
            "db_dblink",
            input_id=draw.choice(nodes),
            output_id=draw.choice(nodes),
            label=draw.choice(["_return", str(number)]),
            type=draw.choice(LINK_TYPES),
        )
    for number, type_string in enumerate(GROUP_TYPES):
        group = await insert(
            connection,
            "db_dbgroup",
            name=str(number),
            type=type_string,
            uuid=str(uuids.UUID(int=number)),
            user_id=1,
        )
        for pk in draw.sample(nodes, 5):
            await insert(connection, "db_dbgroup_dbnodes", dbgroup_id=group, dbnode_id=pk)
    for pk in draw.sample(nodes, 40):
        await connection.execute(
            "insert into db_dblog (objname, objpk, metadata) values ($1, $2, $3::text::jsonb)",
            draw.choice(["node.mine.", "node.", "node", "aiida.workflows.user.x", "mine"]),
            draw.choice([pk, pk, pk, 9999]),
            draw.choice(["{}", '{"objpk": 1, "a": 1.50}', '{"objname": null}', None]),
        )


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2])
async def test_the_steps_leave_what_aiida_leaves(
    databases: Databases, tmp_path: Path, seed: int
) -> None:
    dsn = await database_at(databases, FIRST, "sqlalchemy")
    connection = await asyncpg.connect(dsn)
    await fill(connection, seed)
    name = await connection.fetchval("select current_database()")
    await connection.close()
    theirs_dsn = await copy_of(databases, name)
    (tmp_path / "repository" / "node").mkdir(parents=True)
    await run_aiida(
        MIGRATE,
        tmp_path,
        json.dumps(aiida_profile_dictionary(theirs_dsn, tmp_path)),
        *REVISIONS[FIRST:LAST],
    )
    ours, theirs = await asyncpg.connect(dsn), await asyncpg.connect(theirs_dsn)
    try:
        for number in range(FIRST + 1, LAST + 1):
            await run_step(
                ours,
                number,
                line="sqlalchemy",
                export_directory=tmp_path / "exports",
                without_repository=True,
            )
        found = [without_uuids_of_logs(await content(each)) for each in (ours, theirs)]
        for each in found:
            for setting in each["db_dbsetting"].values():
                del setting["time"]
        assert found[0] == found[1]
        schemas = [await describe(each, names=False) for each in (ours, theirs)]
        for each in schemas:
            del each["alembic_version"]
        assert schemas[0] == schemas[1]
    finally:
        await ours.close()
        await theirs.close()
        await databases.drop(theirs_dsn)
        await databases.drop(dsn)
