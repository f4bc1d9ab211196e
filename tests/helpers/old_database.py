"""A small database of AiiDA's first version, with something in it for every step of the chain.

It is what the tests of whole migrations start from where no real database is at hand: nodes of the
kinds that are renamed, with attributes, extras and files; links, groups, comments; logs and
workflows that leave the database; users and computers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import numpy as np

from tests.helpers.catalog import describe
from tests.helpers.old_nodes import add_files
from tests.helpers.real_databases import load_dump, unpack
from tests.helpers.single_steps import database_at
from tests.helpers.table_content import content
from tests.helpers.table_rows import insert, insert_attribute

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.helpers.databases import Databases

__all__ = [
    "EXPORTED",
    "OldDatabase",
    "State",
    "make_old_database",
    "make_sqlalchemy_database",
    "state_of",
]

EXPORTED: Final = ("legacy_workflow_logs", "unknown_entity_logs", "no_node_entity_logs")
"""How the names of the files begin that the logs of this database are written to."""

_TYPES: Final = {
    "structure": "data.structure.StructureData.",
    "parameters": "data.parameter.ParameterData.",
    "trajectory": "data.array.trajectory.TrajectoryData.",
    "folder": "data.folder.FolderData.",
    "code": "code.Code.",
    "job": "calculation.job.quantumespresso.pw.PwCalculation.",
    "arithmetic": "calculation.job.simpleplugins.arithmetic.add.ArithmeticAddCalculation.",
    "inline": "calculation.inline.InlineCalculation.",
    "work": "calculation.work.WorkCalculation.",
    "band": "data.array.bands.BandsData.",
}
_LINKS: Final = [
    ("structure", "job", "structure"),
    ("parameters", "job", "parameters"),
    ("code", "job", "code"),
    ("job", "folder", "retrieved"),
    ("job", "trajectory", "output_trajectory"),
    ("work", "job", "CALL"),
    ("work", "band", "bands"),
    ("trajectory", "inline", "trajectory"),
    ("inline", "band", "bands_of_trajectory"),
]


@dataclass(frozen=True)
class OldDatabase:
    """One copy of it.

    Attributes:
        dsn: The database, at 1.0.1, or at the head of the SQLAlchemy line.
        repository: Its files.
    """

    dsn: str
    repository: Path


_MADE_ANEW: Final = {
    "db_dbattribute": {"id"},
    "db_dbextra": {"id"},
    "db_dblog": {"id", "uuid", "time"},
    "db_dbsetting": {"id", "time"},
}

State = tuple[dict[str, list[str]], dict[str, Any]]
"""The schema as the catalogs describe it, and all rows."""


async def state_of(dsn: str) -> State:
    """Schema and content of a database, without what differs in each run of a migration.

    That is a few uuids and times, and the ids of rows that steps insert: a sequence does not go
    back with the transaction that was undone.
    """
    connection = await asyncpg.connect(dsn)
    try:
        schema = await describe(connection)
        rows: dict[str, Any] = dict(await content(connection))
    finally:
        await connection.close()
    for table, columns in _MADE_ANEW.items():
        stripped = [
            json.dumps({name: text for name, text in row.items() if name not in columns})
            for row in rows.get(table, {}).values()
            if row.get("key") != '"repository|uuid"'
        ]
        if table in rows:
            rows[table] = sorted(stripped)
    return schema, rows


async def make_sqlalchemy_database(databases: Databases, directory: Path) -> OldDatabase:
    """Make a copy of a real database of the SQLAlchemy backend, at the head of its line.

    Args:
        databases: Where it is made, and dropped at the end.
        directory: Where its repository is made.
    """
    dsn = await load_dump(databases, "legacy_sqla/2_after_aiida-1.6.9_0edcdd5a30f0")
    return OldDatabase(dsn, unpack("legacy_sqla/repository_after_aiida-1.6.9", directory))


async def make_old_database(databases: Databases, directory: Path) -> OldDatabase:
    """Make a copy of it.

    Args:
        databases: Where it is made, and dropped at the end.
        directory: Where its repository is made.
    """

    async def build(dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await _fill(connection)
        finally:
            await connection.close()

    await databases.drop(await database_at(databases, 1))  # brings the template
    template = await databases.template("old", build, base="replayed_0001")
    _write_files(directory)
    return OldDatabase(await databases.create(template), directory)


def _uuid(name: str) -> str:
    number = list(_TYPES).index(name)
    return f"{number:02x}000000-0000-4000-8000-000000000000"


def _write_files(directory: Path) -> None:
    add_files(directory, _uuid("folder"), {"aiida.out": b"JOB DONE", "deep/er.txt": b""})
    add_files(directory, _uuid("job"), {"aiida.in": b"&control /"}, content="raw_input")
    folder = add_files(directory, _uuid("trajectory"), {"steps.npy": b"not looked at"})
    np.save(folder / "symbols.npy", np.array(["Ba", "Ti", "O"]))


async def _fill(connection: asyncpg.Connection) -> None:
    user = await insert(connection, "db_dbuser", email="ada@epfl.ch")
    computer = await insert(
        connection,
        "db_dbcomputer",
        name="daint",
        transport_type="ssh",
        scheduler_type="slurm",
        transport_params="{}",
        metadata='{"workdir": "/scratch"}',
        enabled=True,
    )
    await insert(
        connection,
        "db_dbauthinfo",
        aiidauser_id=user,
        dbcomputer_id=computer,
        metadata="{}",
        auth_params='{"port": 22}',
    )
    nodes = await _add_nodes(connection, computer)
    for source, target, label in _LINKS:
        await insert(
            connection,
            "db_dblink",
            input_id=nodes[source],
            output_id=nodes[target],
            label=label,
        )
    group = await insert(connection, "db_dbgroup", name="campaign", type="")
    for name in ("structure", "band"):
        await insert(connection, "db_dbgroup_dbnodes", dbgroup_id=group, dbnode_id=nodes[name])
    await insert(connection, "db_dbcomment", dbnode_id=nodes["job"], content="look at this")
    await insert(connection, "db_dbcalcstate", dbnode_id=nodes["job"], state="UNDETERMINED")
    await _add_logs(connection, nodes)
    await _add_workflow(connection, nodes)
    await insert(
        connection, "db_dbsetting", key="daemon|user", datatype="txt", tval="ada", description=""
    )


async def _add_nodes(connection: asyncpg.Connection, computer: int) -> Mapping[str, int]:
    nodes: dict[str, int] = {}
    for name, kind in _TYPES.items():
        given: dict[str, object] = {"uuid": _uuid(name), "type": kind, "label": name}
        if name in ("job", "arithmetic"):
            given["dbcomputer_id"] = computer
        nodes[name] = await insert(connection, "db_dbnode", **given)
        await insert_attribute(connection, nodes[name], "_aiida_hash", "abc", extra=True)
    await insert_attribute(connection, nodes["code"], "hidden", True)
    await insert_attribute(connection, nodes["trajectory"], "array|symbols", [3])
    await insert_attribute(connection, nodes["trajectory"], "array|symbols.0", 3)
    await insert_attribute(connection, nodes["job"], "jobresource_params", {"num_machines": 1})
    await insert_attribute(connection, nodes["job"], "jobresource_params.num_machines", 1)
    await insert_attribute(connection, nodes["job"], "parser", "quantumespresso.pw")
    await insert_attribute(connection, nodes["job"], "state", "FINISHED")
    await insert_attribute(connection, nodes["work"], "_sealed", True)
    for position in range(3):
        await insert_attribute(connection, nodes["structure"], f"cell.{position}", position)
    await insert_attribute(connection, nodes["structure"], "cell", [0, 1, 2])
    return nodes


async def _add_logs(connection: asyncpg.Connection, nodes: Mapping[str, int]) -> None:
    kind = f"node.{_TYPES['job']}"
    for objname, objpk in (
        (kind, nodes["job"]),
        (kind, 9999),
        ("aiida.workflows.user.mine", 1),
        ("somebody", 1),
    ):
        metadata = json.dumps({"objname": objname, "objpk": objpk, "msg": "hello"})
        await insert(connection, "db_dblog", objname=objname, objpk=objpk, metadata=metadata)


async def _add_workflow(connection: asyncpg.Connection, nodes: Mapping[str, int]) -> None:
    workflow = await insert(connection, "db_dbworkflow", label="relax")
    step = await insert(connection, "db_dbworkflowstep", parent_id=workflow, name="start")
    await insert(
        connection,
        "db_dbworkflowstep_calculations",
        dbworkflowstep_id=step,
        dbnode_id=nodes["job"],
    )
