"""What leaves the database is in files first, whole, and nothing else leaves it."""

from __future__ import annotations

import errno
import json
import os
import resource
import tracemalloc
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.options import MigrationOptions
from aiidadb.migration.python_step import StepContext
from aiidadb.migration.values.exports import EXPORT_LOGS
from tests.helpers.old_nodes import add_node, entries, size_of_all
from tests.helpers.real_databases import unpack
from tests.helpers.single_steps import run_step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import asyncpg

    from tests.migration.conftest import At

TIME = datetime(2018, 3, 4, 5, 6, 7, 89012, tzinfo=UTC)


async def add_log(
    connection: asyncpg.Connection, objname: str, objpk: int | None, message: str = "m"
) -> int:
    return await connection.fetchval(
        """
        insert into db_dblog (time, loggername, levelname, objname, objpk, message, metadata)
        values ($1::timestamptz, 'aiida', 'REPORT', $2::text, $3::int, $4::text, $5::text)
        returning id
        """,
        TIME,
        objname,
        objpk,
        message,
        '{"objpk": 1, "a": 2}',
    )


def by_prefix(directory: Path) -> dict[str, object]:
    """What the JSON files of a directory hold, by the part of their names before the time."""
    return {
        path.name.rsplit("-", 2)[0]: json.loads(path.read_text("utf-8"))
        for path in directory.iterdir()
    }


def log_row(pk: int, objname: str, objpk: int | None, message: str = "m") -> dict[str, object]:
    return {
        "id": pk,
        "time": "2018-03-04T05:06:07.089012+00:00",
        "loggername": "aiida",
        "levelname": "REPORT",
        "objpk": objpk,
        "objname": objname,
        "message": message,
        "metadata": '{"objpk": 1, "a": 2}',
    }


# ---------------------------------------------------------------- logs (0024)


@pytest.mark.quick
async def test_logs_without_a_node_are_in_a_file_each_reason_and_the_others_stay(
    at: At, tmp_path: Path
) -> None:
    connection = await at(23)
    node, _ = await add_node(connection)
    kept = await add_log(connection, "node.data.Data.", node)
    workflow = await add_log(connection, "aiida.workflows.user.mine.Flow", 5)
    unknown = await add_log(connection, "aiida.workflowsXuser", node)
    nameless = await add_log(connection, "", None)
    gone = await add_log(connection, "node.data.Data.", 10**6)
    nowhere = await add_log(connection, "node.", None, 'a "quoted"\nline, ünicode \u2028 😀')

    (outcome,) = await run_step(connection, 24, export_directory=tmp_path)

    assert by_prefix(tmp_path) == {
        "legacy_workflow_logs": [log_row(workflow, "aiida.workflows.user.mine.Flow", 5)],
        "unknown_entity_logs": [
            log_row(unknown, "aiida.workflowsXuser", node),
            log_row(nameless, "", None),
        ],
        "no_node_entity_logs": [
            log_row(gone, "node.data.Data.", 10**6),
            log_row(nowhere, "node.", None, 'a "quoted"\nline, ünicode \u2028 😀'),
        ],
    }
    assert [row["id"] for row in await connection.fetch("select id from db_dblog")] == [kept]
    assert outcome.rows == 5
    assert sorted(outcome.files) == entries(tmp_path)
    for path in outcome.files:
        assert any(str(path) in note for note in outcome.notes)


# Times as they are in a database, and as they are in the file.
ODD_TIMES = {
    "-infinity": "-infinity",
    "0044-03-15 12:30:00+00 BC": "0044-03-15T12:30:00 BC",
    "12026-01-01 00:00:00.5+00": "12026-01-01T00:00:00.5",
    "infinity": "infinity",
}


async def test_logs_of_times_that_python_cannot_hold_are_in_the_file(
    at: At, tmp_path: Path
) -> None:
    connection = await at(23)
    await add_node(connection)
    for time in ("2018-03-04 07:06:07.5+02", *ODD_TIMES):
        pk = await add_log(connection, "node.data.Data.", 10**6)
        await connection.execute(
            "update db_dblog set time = $2::text::timestamptz where id = $1", pk, time
        )
    await run_step(connection, 24, export_directory=tmp_path)
    (rows,) = by_prefix(tmp_path).values()
    assert [row["time"] for row in rows] == [
        "2018-03-04T05:06:07.500000+00:00",
        *ODD_TIMES.values(),
    ]


async def test_no_file_is_made_where_every_log_has_its_node(at: At, tmp_path: Path) -> None:
    connection = await at(23)
    node, _ = await add_node(connection)
    await add_log(connection, "node.data.Data.", node)
    (outcome,) = await run_step(connection, 24, export_directory=tmp_path / "new")
    assert (outcome.rows, outcome.files, outcome.notes) == (0, (), ())
    assert entries(tmp_path) == []


async def test_a_dry_run_writes_no_file_and_says_what_it_would_write(
    at: At, tmp_path: Path
) -> None:
    connection = await at(23)
    await add_log(connection, "else", None)
    (outcome,) = await run_step(connection, 24, export_directory=tmp_path / "exports", dry_run=True)
    assert entries(tmp_path) == []
    assert outcome.rows == 1
    assert outcome.files == ()
    assert "would be written" in outcome.notes[0]
    assert await connection.fetchval("select count(*) from db_dblog") == 1


async def test_a_second_export_never_overwrites_the_first(at: At, tmp_path: Path) -> None:
    for _ in range(3):
        connection = await at(23)
        await add_log(connection, "else", None)
        await run_step(connection, 24, export_directory=tmp_path)
    assert len(entries(tmp_path)) == 3


async def test_a_reason_that_is_not_known_is_refused(at: At, tmp_path: Path) -> None:
    connection = await at(23)
    pk = await add_log(connection, "else", None)
    await connection.execute(
        "create temporary table aiidadb_departing_logs (log_id integer, reason text)"
    )
    await connection.execute("insert into aiidadb_departing_logs values ($1, 'whim')", pk)
    context = StepContext(connection, MigrationOptions(export_directory=tmp_path), lambda *_: None)
    async with connection.transaction():
        with pytest.raises(StorageMigrationError, match="unknown reason 'whim'"):
            await EXPORT_LOGS.run(context)


async def test_a_listed_log_that_cannot_be_read_stops_the_step(at: At, tmp_path: Path) -> None:
    connection = await at(23)
    await connection.execute(
        "create temporary table aiidadb_departing_logs (log_id integer, reason text)"
    )
    await connection.execute("insert into aiidadb_departing_logs values (77, 'unknown')")
    context = StepContext(connection, MigrationOptions(export_directory=tmp_path), lambda *_: None)
    async with connection.transaction():
        with pytest.raises(StorageMigrationError, match="1 would be deleted, but only 0"):
            await EXPORT_LOGS.run(context)
    assert entries(tmp_path) == []


# ---------------------------------------------------------------- links (0020)


async def test_links_that_0020_removes_are_in_a_file_with_their_nodes(
    at: At, tmp_path: Path
) -> None:
    connection = await at(19)
    job, job_uuid = await add_node(connection, "calculation.job.JobCalculation.")
    work, work_uuid = await add_node(connection, "calculation.work.WorkCalculation.")
    data, data_uuid = await add_node(connection, "data.base.Int.")
    links = [
        await connection.fetchval(
            """
            insert into db_dblink (input_id, output_id, label, type)
            values ($1::int, $2::int, $3::text, $3::text)
            returning id
            """,
            source,
            target,
            link_type,
        )
        for source, target, link_type in (
            (job, data, "createlink"),
            (job, data, "returnlink"),
            (job, work, "calllink"),
            (work, data, "createlink"),
            (work, data, "returnlink"),
        )
    ]
    types = await connection.fetch("select uuid::text, type from db_dbnode")
    before = {row["uuid"]: row["type"] for row in types}

    (outcome,) = await run_step(connection, 20, export_directory=tmp_path)

    def row(at_: int, reason: str, link_type: str, source: tuple, target: tuple) -> dict:
        return {
            "id": links[at_],
            "reason": reason,
            "type": link_type,
            "label": link_type,
            "input_id": source[0],
            "output_id": target[0],
            "input_uuid": source[1],
            "output_uuid": target[1],
            "input_type": before[source[1]],
            "output_type": before[target[1]],
        }

    assert by_prefix(tmp_path) == {
        "removed_links": [
            row(1, "calculation_return", "returnlink", (job, job_uuid), (data, data_uuid)),
            row(2, "calculation_call", "calllink", (job, job_uuid), (work, work_uuid)),
            row(3, "workflow_create", "createlink", (work, work_uuid), (data, data_uuid)),
        ]
    }
    left = await connection.fetch("select id from db_dblink order by id")
    assert [found["id"] for found in left] == [links[0], links[4]]
    assert outcome.rows == 3
    assert "3 links" in outcome.notes[0]


async def test_no_file_is_made_where_no_link_is_removed(at: At, tmp_path: Path) -> None:
    connection = await at(19)
    (outcome,) = await run_step(connection, 20, export_directory=tmp_path)
    assert outcome.files == ()
    assert entries(tmp_path) == []


# ---------------------------------------------------------------- legacy workflows (0032)


async def add_workflow(connection: asyncpg.Connection, label: str, user: int) -> int:
    return await connection.fetchval(
        """
        insert into db_dbworkflow (
            uuid, ctime, mtime, user_id, label, description, nodeversion, lastsyncedversion,
            state, report, module, module_class, script_path, script_md5
        )
        values (
            gen_random_uuid(), $1::timestamptz, '2018-01-01 00:00Z', $2::int, $3::text, 'd', 1, 0,
            'RUNNING', 'r', 'mod', 'Class', 'path', 'md5'
        )
        returning id
        """,
        TIME,
        user,
        label,
    )


async def test_workflows_with_their_data_and_steps_are_in_the_file_that_aiida_writes(
    at: At, tmp_path: Path
) -> None:
    connection = await at(31)
    node, _ = await add_node(connection)
    user = await connection.fetchval("select id from db_dbuser")
    outer = await add_workflow(connection, 'outer "ü"', user)
    inner = await add_workflow(connection, "inner", user)
    uuids = [
        str(row["uuid"])
        for row in await connection.fetch("select uuid from db_dbworkflow order by id")
    ]
    datum = await connection.fetchval(
        """
        insert into db_dbworkflowdata (
            parent_id, name, time, data_type, value_type, json_value, aiida_obj_id
        )
        values ($1::int, 'p', $2::timestamptz, 'PARAMETER', 'DICT', '{"a": "b\\c"}', $3::int)
        returning id
        """,
        outer,
        TIME,
        node,
    )
    empty = await connection.fetchval(
        """
        insert into db_dbworkflowdata (parent_id, name, time, data_type, value_type, json_value)
        values ($1::int, 'q', $2::timestamptz, 'RESULT', 'NONE', '')
        returning id
        """,
        outer,
        TIME,
    )
    step = await connection.fetchval(
        """
        insert into db_dbworkflowstep (parent_id, user_id, name, time, nextcall, state)
        values ($1::int, $2::int, 'start', $3::timestamptz, 'none', 'CREATED')
        returning id
        """,
        outer,
        user,
        TIME,
    )
    await connection.execute(
        "insert into db_dbworkflowstep_calculations (dbworkflowstep_id, dbnode_id) values ($1, $2)",
        step,
        node,
    )
    await connection.execute(
        """
        insert into db_dbworkflowstep_sub_workflows (dbworkflowstep_id, dbworkflow_id)
        values ($1, $2)
        """,
        step,
        inner,
    )

    (outcome,) = await run_step(connection, 32, export_directory=tmp_path)

    (path,) = entries(tmp_path)
    assert outcome.files == (path,)
    assert outcome.rows == 5
    written = json.loads(path.read_text("utf-8"))
    assert list(written) == ["workflow", "workflow_data", "workflow_step"]

    def workflow(pk: int, uuid: str, label: str) -> dict[str, object]:
        return {
            "model": "db.dbworkflow",
            "pk": pk,
            "fields": {
                "uuid": uuid,
                "ctime": "2018-03-04T05:06:07.089012Z",
                "mtime": "2018-01-01T00:00:00Z",
                "label": label,
                "description": "d",
                "nodeversion": 1,
                "lastsyncedversion": 0,
                "state": "RUNNING",
                "report": "r",
                "module": "mod",
                "module_class": "Class",
                "script_path": "path",
                "script_md5": "md5",
                "user": user,
            },
        }

    def data(pk: int, **fields: object) -> dict[str, object]:
        common = {"time": "2018-03-04T05:06:07.089012Z", "parent": outer}
        return {"model": "db.dbworkflowdata", "pk": pk, "fields": fields | common}

    assert json.loads(written["workflow"]) == [
        workflow(outer, uuids[0], 'outer "ü"'),
        workflow(inner, uuids[1], "inner"),
    ]
    assert json.loads(written["workflow_data"]) == [
        data(
            datum,
            name="p",
            data_type="PARAMETER",
            value_type="DICT",
            json_value='{"a": "b\\c"}',
            aiida_obj=node,
        ),
        data(empty, name="q", data_type="RESULT", value_type="NONE", json_value="", aiida_obj=None),
    ]
    assert json.loads(written["workflow_step"]) == [
        {
            "model": "db.dbworkflowstep",
            "pk": step,
            "fields": {
                "name": "start",
                "time": "2018-03-04T05:06:07.089012Z",
                "nextcall": "none",
                "state": "CREATED",
                "parent": outer,
                "user": user,
                "calculations": [node],
                "sub_workflows": [inner],
            },
        }
    ]


async def test_workflows_of_times_that_python_cannot_hold_are_in_the_file(
    at: At, tmp_path: Path
) -> None:
    connection = await at(31)
    await add_node(connection)
    user = await connection.fetchval("select id from db_dbuser")
    for number, time in enumerate(ODD_TIMES):
        pk = await add_workflow(connection, str(number), user)
        await connection.execute(
            "update db_dbworkflow set ctime = $2::text::timestamptz where id = $1", pk, time
        )
    await run_step(connection, 32, export_directory=tmp_path)
    (path,) = entries(tmp_path)
    fields = [row["fields"] for row in json.loads(json.loads(path.read_text("utf-8"))["workflow"])]
    assert [row["ctime"] for row in fields] == list(ODD_TIMES.values())
    assert {row["mtime"] for row in fields} == {"2018-01-01T00:00:00Z"}


async def test_no_file_is_made_where_there_are_no_workflows(at: At, tmp_path: Path) -> None:
    connection = await at(31)
    (outcome,) = await run_step(connection, 32, export_directory=tmp_path)
    assert outcome.files == ()
    assert entries(tmp_path) == []


# ---------------------------------------------------------------- faults


async def logs_are_all_there(connection: asyncpg.Connection, number: int) -> None:
    assert await connection.fetchval("select count(*) from db_dblog") == number
    setting = "select tval from db_dbsetting where key = 'db|schemaversion'"
    assert await connection.fetchval(setting) == "1.0.23"


async def test_a_directory_that_cannot_be_written_stops_the_step_and_names_it(
    at: At, tmp_path: Path
) -> None:
    connection = await at(23)
    await add_log(connection, "else", None)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageMigrationError, match=r"1 log of entities .*file/exports"):
        await run_step(connection, 24, export_directory=tmp_path / "file" / "exports")
    await logs_are_all_there(connection, 1)


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """As on a full disk, no file of this process grows beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.quick
async def test_a_full_disk_stops_the_step_and_leaves_no_part_of_a_file(
    at: At, tmp_path: Path
) -> None:
    connection = await at(23)
    for _ in range(20):
        await add_log(connection, "else", None, "x" * 1000)
    with (
        files_no_longer_than(4096),
        pytest.raises(StorageMigrationError, match=r"20 logs .*could not be written"),
    ):
        await run_step(connection, 24, export_directory=tmp_path)
    assert entries(tmp_path) == []
    await logs_are_all_there(connection, 20)

    await run_step(connection, 24, export_directory=tmp_path)
    assert len(by_prefix(tmp_path)["unknown_entity_logs"]) == 20  # type: ignore[arg-type]


async def test_a_disk_that_fails_to_flush_stops_the_step(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(23)
    await add_log(connection, "else", None)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageMigrationError, match="Input/output error"):
        await run_step(connection, 24, export_directory=tmp_path)
    assert entries(tmp_path) == []
    await logs_are_all_there(connection, 1)


async def test_a_file_system_without_links_gets_the_file_all_the_same(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(23)
    await add_log(connection, "else", None)

    def fail(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", fail)
    await run_step(connection, 24, export_directory=tmp_path)
    assert len(by_prefix(tmp_path)["unknown_entity_logs"]) == 1  # type: ignore[arg-type]


async def test_memory_does_not_grow_with_the_logs(at: At, tmp_path: Path) -> None:
    connection = await at(23)
    await connection.execute(
        """
        insert into db_dblog (time, loggername, levelname, objname, message, metadata)
        select now(), 'aiida', 'REPORT', 'else', repeat('m', 2000), '{}'
        from generate_series(1, 20000)
        """
    )
    tracemalloc.start()
    try:
        await run_step(connection, 24, export_directory=tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size_of_all(tmp_path) > 40_000_000
    assert peak < 8_000_000


# ---------------------------------------------------------------- the real thing


async def test_a_genuine_database_gives_the_files_that_aiida_wrote(
    legacy: asyncpg.Connection, legacy_repository: Path, tmp_path: Path
) -> None:
    exports = tmp_path / "exports"
    for number in range(9, 33):
        await run_step(legacy, number, repository=legacy_repository, export_directory=exports)
    ours = {path.name.rsplit("-", 2)[0]: path for path in entries(exports)}
    written_by_aiida = unpack("legacy/files_written_by_aiida-1.6.9", tmp_path / "theirs")
    theirs = {
        path.name: path.read_text("utf-8") for path in written_by_aiida.rglob("*") if path.is_file()
    }

    def their(prefix: str) -> str:
        (found,) = (text for name, text in theirs.items() if name.startswith(prefix))
        return found

    assert set(ours) == {
        "legacy_workflow_logs",
        "unknown_entity_logs",
        "no_node_entity_logs",
        "legacy-workflows",
    }
    assert ours["legacy_workflow_logs"].read_text("utf-8") == their("legagy_wf_logs")
    assert ours["unknown_entity_logs"].read_text("utf-8") == their("unknown_entity_logs")
    assert ours["no_node_entity_logs"].read_text("utf-8") == their("no_node_entity_logs")

    # The one difference: Django cuts the times of workflows to milliseconds.
    written = json.loads(ours["legacy-workflows"].read_text("utf-8"))
    (workflow,) = json.loads(written["workflow"])
    for key in ("ctime", "mtime"):
        time = datetime.fromisoformat(workflow["fields"][key])
        assert time.microsecond % 1000
        time -= timedelta(microseconds=time.microsecond % 1000)
        workflow["fields"][key] = f"{time.isoformat(timespec='milliseconds')[:-6]}Z"
    written["workflow"] = json.dumps([workflow])
    assert json.dumps(written) == their("legacy-workflows")
