"""The steps of the sqlalchemy line up to AiiDA 1.x: what each changes, and what AiiDA stops at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from aiidadb.exceptions import StorageMigrationError
from tests.helpers.catalog import describe
from tests.helpers.old_nodes import add_files
from tests.helpers.single_steps import database_at, run_step
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiidadb.migration.python_step import StepOutcome
    from tests.helpers.databases import Databases
    from tests.migration.conftest import At

CODE = "code.Code."
DATA = "data.structure.StructureData."
INLINE = "calculation.inline.InlineCalculation."
JOB = "calculation.job.quantumespresso.pw.PwCalculation."
WORK = "calculation.work.WorkCalculation."
CALC_JOB = "node.process.calculation.calcjob.CalcJobNode."
TRAJECTORY = "node.data.array.trajectory.TrajectoryData."


@pytest_asyncio.fixture
async def at(databases: Databases) -> AsyncIterator[At]:
    """``await at(13)`` connects to a database after the 13th revision, without a node."""
    made: list[tuple[str, asyncpg.Connection]] = []

    async def connect(number: int) -> asyncpg.Connection:
        dsn = await database_at(databases, number, "sqlalchemy")
        connection = await asyncpg.connect(dsn)
        made.append((dsn, connection))
        return connection

    yield connect
    for dsn, connection in made:
        await connection.close()
        await databases.drop(dsn)


async def step(
    connection: asyncpg.Connection, number: int, exports: Path | None = None, **options: object
) -> tuple[StepOutcome, ...]:
    return await run_step(
        connection, number, line="sqlalchemy", export_directory=exports, **options
    )


async def node(
    connection: asyncpg.Connection,
    node_type: str | None = DATA,
    attributes: object = None,
    extras: object = None,
    **values: object,
) -> int:
    """A node; attributes and extras are JSON, or SQL's null where they are None."""
    of_type = (
        {"type": node_type} if "type" in await columns(connection) else {"node_type": node_type}
    )
    pk = await insert(connection, "db_dbnode", **of_type, **values)
    await connection.execute(
        "update db_dbnode set attributes = $2::text::jsonb, extras = $3::text::jsonb where id = $1",
        pk,
        None if attributes is None else json.dumps(attributes),
        None if extras is None else json.dumps(extras),
    )
    return pk


async def columns(connection: asyncpg.Connection, table: str = "db_dbnode") -> set[str]:
    facts = (await describe(connection))[table]
    return {fact.split()[1] for fact in facts if fact.startswith("column")}


async def column(connection: asyncpg.Connection, table: str, name: str) -> list[object]:
    rows = await connection.fetch(f"select {name} as value from {table} order by id")
    return [row["value"] for row in rows]


async def documents(connection: asyncpg.Connection, name: str = "attributes") -> list[object]:
    return [
        None if text is None else json.loads(text)
        for text in await column(connection, "db_dbnode", f"{name}::text")
    ]


NULL = "null"  # JSON's; json.dumps would make a text of it


async def set_json_null(connection: asyncpg.Connection, pk: int, name: str) -> None:
    await connection.execute(f"update db_dbnode set {name} = 'null' where id = $1", pk)


def rows_in(directory: Path, prefix: str) -> list[dict[str, object]]:
    (path,) = directory.glob(f"{prefix}*.json")
    return json.loads(path.read_text("utf-8"))


# ------------------------------------------------------------------ links (3)


@pytest.mark.parametrize("link_type", [None, ""])
async def test_links_without_a_type_get_it_from_their_nodes(at: At, link_type: str | None) -> None:
    connection = await at(2)
    pks = {kind: await node(connection, kind) for kind in (DATA, CODE, JOB, INLINE, WORK)}
    given = {
        (DATA, JOB): "inputlink",
        (CODE, JOB): "inputlink",
        (JOB, DATA): "createlink",
        (INLINE, DATA): "createlink",
        (WORK, DATA): "returnlink",
        (WORK, JOB): "calllink",
        (DATA, DATA): link_type,
    }
    for number, (source, target) in enumerate(given):
        await insert(
            connection,
            "db_dblink",
            input_id=pks[source],
            output_id=pks[target],
            label=str(number),
            type=link_type,
        )
    await step(connection, 3)
    assert await column(connection, "db_dblink", "type") == list(given.values())


async def test_the_constraints_that_0_7_had_on_links_go(at: At) -> None:
    connection = await at(2)
    expected = await describe(connection)
    await connection.execute(
        "alter table db_dblink add unique (input_id, output_id), add unique (output_id, label)"
    )
    source, target = await node(connection), await node(connection, JOB)
    await insert(connection, "db_dblink", input_id=source, output_id=target, label="l", type=None)
    await step(connection, 3)
    assert await describe(connection) == expected


# ------------------------------------------------------------------ hidden codes (5)


async def test_whether_a_code_is_hidden_becomes_an_extra(at: At) -> None:
    connection = await at(4)
    await node(connection, CODE, {"hidden": True, "a": 1}, {"b": 2})
    await node(connection, CODE, {"hidden": False}, {"hidden": True})
    await node(connection, CODE, {"hidden": "perhaps"}, {})
    await node(connection, CODE, {"hidden": True})
    await set_json_null(connection, await node(connection, CODE, {"hidden": True}), "extras")
    await node(connection, DATA, {"hidden": True}, {})
    await step(connection, 5)
    assert await documents(connection) == [{"a": 1}, {}, {}, {}, {}, {"hidden": True}]
    assert await documents(connection, "extras") == [
        {"b": 2, "hidden": True}, {"hidden": False}, {}, {"hidden": True}, {"hidden": True}, {},
    ]  # fmt: skip


# ------------------------------------------------------------------ memberships (6, 11)


@pytest.mark.parametrize("number", [6, 11])
async def test_doubled_memberships_go_to_a_file(at: At, tmp_path: Path, number: int) -> None:
    """Before the 11th revision of a database of AiiDA 1.0.0a1, to which the 6th was unknown."""
    connection = await at(number - 1)
    await connection.execute(
        "alter table db_dbgroup_dbnodes drop constraint if exists uix_dbnode_id_dbgroup_id"
    )
    pk = await node(connection)
    group = await insert(connection, "db_dbgroup", name="g", user_id=1)
    other = await insert(connection, "db_dbgroup", name="h", user_id=1)
    first = [
        await insert(connection, "db_dbgroup_dbnodes", dbgroup_id=given, dbnode_id=pk)
        for given in (group, other, group, None, group, None)
    ]

    (outcome,) = await step(connection, number, tmp_path)

    kept = [first[index] for index in (0, 1, 3, 5)]
    assert await column(connection, "db_dbgroup_dbnodes", "id") == kept
    (uuid,) = await column(connection, "db_dbnode", "uuid::text")
    assert rows_in(tmp_path, "doubled_memberships") == [
        {
            "id": doubled,
            "dbnode_id": pk,
            "dbgroup_id": group,
            "node_uuid": uuid,
            "group_uuid": None,
            "group_name": "g",
        }
        for doubled in (first[2], first[4])
    ]
    assert outcome.rows == 2
    assert "2 duplicate memberships of nodes in groups: written to" in outcome.notes[0]
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(connection, "db_dbgroup_dbnodes", dbgroup_id=group, dbnode_id=pk)


async def test_no_file_is_written_where_no_membership_is_doubled(at: At, tmp_path: Path) -> None:
    (outcome,) = await step(await at(5), 6, tmp_path / "exports")
    assert (outcome.rows, outcome.files, outcome.notes) == (0, (), ())
    assert not (tmp_path / "exports").exists()


async def test_a_dry_run_says_which_memberships_would_go(at: At, tmp_path: Path) -> None:
    connection = await at(5)
    pk = await node(connection)
    group = await insert(connection, "db_dbgroup", name="g", user_id=1)
    for _ in range(2):
        await insert(connection, "db_dbgroup_dbnodes", dbgroup_id=group, dbnode_id=pk)
    (outcome,) = await step(connection, 6, tmp_path / "exports", dry_run=True)
    assert "1 duplicate membership of nodes in groups: would be written" in outcome.notes[0]
    assert len(await column(connection, "db_dbgroup_dbnodes", "id")) == 2


# ------------------------------------------------------------------ kombu (9)


async def test_what_the_old_daemon_left_goes(at: At) -> None:
    connection = await at(8)
    before = set(await describe(connection))
    await connection.execute(
        """
        create sequence message_id_sequence;
        create sequence queue_id_sequence;
        create table kombu_queue (id integer primary key);
        create table kombu_message (id integer, queue_id integer references kombu_queue);
        insert into db_dbsetting (key, val, description)
        values ('daemon|user', '"ada"', ''), ('mine', '1', '')
        """
    )
    await step(connection, 9)
    assert set(await describe(connection)) == before
    sequences = "select count(*) from pg_sequences where sequencename like '%_id_sequence'"
    assert await connection.fetchval(sequences) == 0
    assert await column(connection, "db_dbsetting", "key") == ["mine"]


# ------------------------------------------------------------------ uuids (12, 23, 25)


async def test_nodes_without_a_uuid_get_one_each(at: At) -> None:
    connection = await at(11)
    for _ in range(3):
        await node(connection)
    kept = await insert(connection, "db_dbnode", type=DATA, uuid="1" * 32)
    await step(connection, 12)
    uuids = await column(connection, "db_dbnode", "uuid::text")
    assert None not in uuids
    assert len(set(uuids)) == 4
    assert uuids[-1] == str(
        await connection.fetchval("select uuid from db_dbnode where id = $1", kept)
    )


@pytest.mark.parametrize(
    ("number", "table", "values"),
    [
        (12, "db_dbnode", {}),
        (25, "db_dbcomment", {}),
        (25, "db_dbcomputer", {"name": None}),
        (25, "db_dbgroup", {}),
        (25, "db_dbworkflow", {}),
    ],
)
async def test_two_rows_of_one_uuid_are_refused(
    at: At, number: int, table: str, values: dict[str, object]
) -> None:
    connection = await at(number - 1)
    for place in range(2):
        given = {name: str(place) for name in values}
        await insert(connection, table, uuid="1" * 32, **given)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=f"{table} has 2 rows"):
        await step(connection, number)


async def test_what_has_no_uuid_gets_one(at: At) -> None:
    connection = await at(24)
    tables = ["db_dbcomment", "db_dbcomputer", "db_dbgroup", "db_dbworkflow"]
    for table in tables:
        for place in range(2):
            named = {"name": str(place)} if table == "db_dbcomputer" else {"user_id": None}
            await insert(connection, table, **named)
    await step(connection, 25)
    for table in tables:
        uuids = await column(connection, table, "uuid")
        assert None not in uuids
        assert len(set(uuids)) == 2


# ------------------------------------------------------------------ hashes (13)


async def test_hashes_go_and_extras_that_are_no_dict_stay(at: At) -> None:
    connection = await at(12)
    await node(connection, extras={"_aiida_hash": "x", "a": 1}, uuid="1" * 32)
    await node(connection, extras=3, uuid="2" * 32)
    await node(connection, uuid="3" * 32)
    await set_json_null(connection, await node(connection, uuid="4" * 32), "extras")
    await step(connection, 13)
    assert await column(connection, "db_dbnode", "extras::text") == ['{"a": 1}', "3", None, "null"]


# ------------------------------------------------------------------ names of plugins (16)


async def test_built_in_plugins_are_renamed(at: At) -> None:
    connection = await at(15)
    await node(
        connection,
        "calculation.job.simpleplugins.templatereplacer.TemplatereplacerCalculation.",
        process_type="aiida.calculations:simpleplugins.templatereplacer",
    )
    for kind in ("data.code.Code.", DATA):
        for plugin in ("simpleplugins.arithmetic.add", "simpleplugins.mine", 1):
            await node(connection, kind, {"input_plugin": plugin, "a": 1})
    await step(connection, 16)
    (job,) = await connection.fetch("select type, process_type from db_dbnode where id = 1")
    assert tuple(job) == (
        "calculation.job.templatereplacer.TemplatereplacerCalculation.",
        "aiida.calculations:templatereplacer",
    )
    plugins = [found["input_plugin"] for found in (await documents(connection))[1:]]
    assert plugins == [
        "arithmetic.add", "simpleplugins.mine", 1,
        "simpleplugins.arithmetic.add", "simpleplugins.mine", 1,
    ]  # fmt: skip


# ------------------------------------------------------------------ provenance (17)


async def test_work_of_a_function_is_told_by_its_name(at: At, tmp_path: Path) -> None:
    connection = await at(16)
    await node(connection, WORK, {"function_name": "f"})
    await node(connection, WORK, {})
    await node(connection, "calculation.process.ProcessCalculation.", {"function_name": None})
    await node(connection, WORK)
    await step(connection, 17, tmp_path)
    assert [str(kind).split(".")[-2] for kind in await column(connection, "db_dbnode", "type")] == [
        "WorkFunctionNode", "WorkChainNode", "WorkFunctionNode", "WorkChainNode",
    ]  # fmt: skip


# ------------------------------------------------------------------ keys of attributes (20)


async def test_keys_of_attributes_are_renamed_and_the_old_one_wins(at: At) -> None:
    connection = await at(19)
    await node(
        connection,
        CALC_JOB,
        {
            "custom_environment_variables": {"A": None},
            "jobresource_params": {"num": 1},
            "resources": "new",
            "parser": "p",
            "_process_label": "l",
            "a": 1,
        },
    )
    work = "node.process.workflow.workchain.WorkChainNode."
    await node(connection, work, {"parser": "p", "_process_label": None})
    await node(connection, DATA, {"parser": "p", "_process_label": "l"})
    await node(connection, CALC_JOB)
    await set_json_null(connection, await node(connection, CALC_JOB), "attributes")
    await step(connection, 20)
    assert await documents(connection) == [
        {
            "environment_variables": {"A": None},
            "resources": {"num": 1},
            "parser_name": "p",
            "process_label": "l",
            "a": 1,
        },
        {"parser": "p", "process_label": None},
        {"parser": "p", "_process_label": "l"},
        None,
        None,
    ]


# ------------------------------------------------------------------ logs (21, 22)


async def test_logs_that_belong_to_no_node_are_in_files_and_the_others_stay(
    at: At, tmp_path: Path
) -> None:
    connection = await at(20)
    pk = await node(connection)
    logs = [
        ("node.data.", pk, '{"objpk": 1, "objname": "x", "a": 1.50}'),
        (None, pk, "null"),
        ("node.data.", pk, None),
        ("node.data.", pk, "[1]"),
        ("node.data.", 10**6, '{"a": "é"}'),
        ("node.data.", None, "null"),
        (None, None, None),
        (None, 10**6, "{}"),
        ("mine", pk, "{}"),
        ("aiida.workflows.user.mine", pk, "{}"),
    ]
    for objname, objpk, metadata in logs:
        await connection.execute(
            "insert into db_dblog (objname, objpk, metadata) values ($1, $2, $3::text::jsonb)",
            objname,
            objpk,
            metadata,
        )

    (outcome,) = await step(connection, 21, tmp_path)
    await step(connection, 22)
    await step(connection, 23)

    assert await column(connection, "db_dblog", "metadata::text") == [
        '{"a": 1.50}', "null", None, "[1]",
    ]  # fmt: skip
    assert await column(connection, "db_dblog", "dbnode_id") == [pk] * 4
    assert len(set(await column(connection, "db_dblog", "uuid"))) == 4
    assert outcome.rows == 6
    told = {
        prefix: [(row["id"], row["objname"], row["objpk"], row["metadata"]) for row in rows]
        for prefix in (
            "no_node_entity_logs",
            "nameless_entity_logs",
            "unknown_entity_logs",
            "legacy_workflow_logs",
        )
        for rows in [rows_in(tmp_path, prefix)]
    }
    assert told == {
        "no_node_entity_logs": [
            (5, "node.data.", 10**6, {"a": "é"}),
            (6, "node.data.", None, None),
        ],
        "nameless_entity_logs": [(7, None, None, None), (8, None, 10**6, {})],
        "unknown_entity_logs": [(9, "mine", pk, {})],
        "legacy_workflow_logs": [(10, "aiida.workflows.user.mine", pk, {})],
    }
    # The rule for deletes is the main line's from the first.
    await connection.execute("delete from db_dbnode")
    assert await column(connection, "db_dblog", "id") == []


# ------------------------------------------------------------------ trajectories (26, 27)


async def test_symbols_of_trajectories_become_an_attribute(at: At, tmp_path: Path) -> None:
    connection = await at(25)
    uuid = "12345678-1234-4234-9234-123456789abc"
    await node(connection, TRAJECTORY, {"array|symbols": [2], "symbols": "old"}, uuid=uuid)
    await node(connection, "node.data.array.ArrayData.", {"array|symbols": [2]}, uuid="1" * 32)
    folder = add_files(tmp_path, uuid, {"steps.npy": b""})
    np.save(folder / "symbols.npy", np.array(["Ba", "O"]))
    (outcome,) = await step(connection, 26, repository=tmp_path)
    assert outcome.rows == 1
    assert await documents(connection) == [
        {"array|symbols": [2], "symbols": ["Ba", "O"]},
        {"array|symbols": [2]},
    ]
    await step(connection, 27)
    assert await documents(connection) == [{"symbols": ["Ba", "O"]}, {"array|symbols": [2]}]


async def test_a_trajectory_without_its_file_is_refused_or_left_as_it_is(
    at: At, tmp_path: Path
) -> None:
    connection = await at(25)
    await node(connection, TRAJECTORY, {"array|symbols": [2]}, uuid="1" * 32)
    await node(connection, TRAJECTORY, {}, uuid="2" * 32)
    with pytest.raises(StorageMigrationError, match=r"symbols\.npy is missing"):
        await step(connection, 26, repository=tmp_path)
    (outcome,) = await step(connection, 26, repository=tmp_path, without_repository=True)
    assert outcome.rows == 0
    await step(connection, 27)
    assert await documents(connection) == [{"array|symbols": [2]}, {}]


# ------------------------------------------------------------------ processes (37 to 40)


async def test_processes_are_sealed_whatever_their_attributes_are(at: At) -> None:
    connection = await at(36)
    job, chain = "process.calculation.calcjob.CalcJobNode.", "process.workflow.workchain.WorkChain."
    await node(connection, job, {"state": "FINISHED"}, uuid="1" * 32)
    await node(connection, chain, {"_sealed": True, "process_state": "waiting"}, uuid="2" * 32)
    await set_json_null(connection, await node(connection, chain, uuid="3" * 32), "attributes")
    await node(connection, chain, uuid="4" * 32)
    await node(connection, chain, {"process_state": "running"}, uuid="5" * 32)
    for number in range(37, 41):
        await step(connection, number)
    assert await documents(connection) == [
        {
            "process_state": "finished",
            "process_label": "Legacy JobCalculation",
            "exit_status": 0,
            "sealed": True,
        },
        {"process_state": "waiting", "sealed": True},
        {"sealed": True},
        None,
        {"process_state": "running"},
    ]
