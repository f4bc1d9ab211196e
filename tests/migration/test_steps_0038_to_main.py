"""The steps from JSONB columns to AiiDA 2.x: what each changes, and what it leaves alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.helpers.catalog import describe
from tests.helpers.main_line import run_main_step
from tests.helpers.old_nodes import add_files, object_of
from tests.helpers.single_steps import django_steps, prelude, run_step
from tests.helpers.table_content import (
    Content,
    Row,
    Rows,
    add_computer,
    add_group,
    add_link,
    add_node,
    changes,
    content,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.migration.conftest import At

CALC_JOB = "process.calculation.calcjob.CalcJobNode."
CALC_FUNCTION = "process.calculation.calcfunction.CalcFunctionNode."
WORK_CHAIN = "process.workflow.workchain.WorkChainNode."


async def changes_by(connection: asyncpg.Connection, number: int) -> Content:
    """Run a step, compare its header with what it did, and return what it changed."""
    step = django_steps()[number]
    counting = step.header("rows")
    counted = 0 if counting is None else await connection.fetchval(counting)
    before = await content(connection)
    await run_step(connection, number, without_repository=True)
    changed = changes(before, await content(connection))
    tables = [name.strip() for name in str(step.header("tables")).split(",")]
    assert changed.keys() <= set(tables)
    if counting is not None:
        assert counted == sum(len(rows) for rows in changed.values())
    return changed


# ------------------------------------------------------------------ 0038: legacy job calculations


LEGACY_STATES = {
    "NEW": ("killed", None),
    "TOSUBMIT": ("killed", None),
    "SUBMITTING": ("killed", None),
    "WITHSCHEDULER": ("killed", None),
    "COMPUTED": ("killed", None),
    "RETRIEVING": ("killed", None),
    "PARSING": ("killed", None),
    "SUBMISSIONFAILED": ("excepted", None),
    "RETRIEVALFAILED": ("excepted", None),
    "PARSINGFAILED": ("excepted", None),
    "FAILED": ("finished", 2),
    "FINISHED": ("finished", 0),
}


async def test_0038_gives_a_legacy_job_the_state_of_a_process(at: At) -> None:
    connection = await at(37)
    expected: Rows = {}
    for state, (process_state, exit_status) in LEGACY_STATES.items():
        kept = {"resources": {"num_machines": 1}}
        attributes = {"state": state, "process_label": "other", **kept}
        job = await add_node(connection, CALC_JOB, attributes=attributes)
        told: Row = {"process_state": process_state, "process_label": "Legacy JobCalculation"}
        if exit_status is None:
            told["process_status"] = f"Legacy `JobCalculation` with state `{state}`"
        else:
            told["exit_status"] = exit_status
        expected[job] = {"attributes": {**kept, **told}}

    assert await changes_by(connection, 38) == {"db_dbnode": expected}


async def test_0038_leaves_alone_what_is_no_legacy_job(at: At) -> None:
    connection = await at(37)
    for attributes in (
        {"state": "withscheduler"},  # of AiiDA 1.0's own
        {"state": "finished"},
        {"state": "IMPORTED"},
        {"state": None},
        {"state": ["NEW"]},
        {"process_state": "finished"},
        {},
        None,
    ):
        await add_node(connection, CALC_JOB, attributes=attributes)
    await add_node(connection, CALC_FUNCTION, attributes={"state": "FINISHED"})
    await add_node(connection, "data.dict.Dict.", attributes={"state": "NEW"})

    assert await changes_by(connection, 38) == {}


async def test_0038_keeps_numbers_as_they_are_written(at: At) -> None:
    connection = await at(37)
    job = await add_node(connection, CALC_JOB)
    await connection.execute(
        """update db_dbnode set attributes = '{"state": "FAILED", "n": [3.0, -1.50, 1e3]}'"""
    )

    await changes_by(connection, 38)

    text = await connection.fetchval("select attributes ->> 'n' from db_dbnode where id = $1", job)
    assert text == "[3.0, -1.50, 1000]"


# ------------------------------------------------------------------ 0039: hashes


async def test_0039_drops_the_hash_of_every_node_that_has_one(at: At) -> None:
    connection = await at(38)
    data = await add_node(connection, extras={"_aiida_hash": "abc", "mine": 3.0})
    process = await add_node(connection, CALC_JOB, extras={"_aiida_hash": None})
    await add_node(connection, extras={"hash": "abc", "nested": {"_aiida_hash": "abc"}})
    await add_node(connection, extras={})
    await add_node(connection, extras=None)

    assert await changes_by(connection, 39) == {
        "db_dbnode": {data: {"extras": {"mine": 3.0}}, process: {"extras": {}}}
    }


@pytest.mark.parametrize("shown", [False, True])
async def test_0039_drops_the_hash_where_nearly_every_node_has_one(at: At, shown: bool) -> None:
    connection = await at(38)
    nodes = [
        await add_node(connection, extras={"_aiida_hash": "abc", "mine": float(number)})
        for number in range(5)
    ]
    await add_node(connection, extras=None)
    if shown:  # what a view shows, PostgreSQL does not rewrite
        await connection.execute("create view my_extras as select id, extras from db_dbnode")

    assert await changes_by(connection, 39) == {
        "db_dbnode": {pk: {"extras": {"mine": float(n)}} for n, pk in enumerate(nodes)}
    }


# ------------------------------------------------------------------ 0040, 0041: sealing


async def test_0040_renames_and_drops_legacy_attributes(at: At) -> None:
    connection = await at(39)
    marks = {"_finished": True, "_failed": False, "_aborted": None, "_do_abort": True}
    whole = await add_node(connection, WORK_CHAIN, attributes={"_sealed": True, **marks, "x": 1.0})
    unsealed = await add_node(connection, CALC_FUNCTION, attributes={"_sealed": False})
    both = await add_node(connection, CALC_JOB, attributes={"_sealed": True, "sealed": False})
    active = await add_node(
        connection, WORK_CHAIN, attributes={"_do_abort": True, "process_state": "waiting"}
    )
    await add_node(connection, "data.dict.Dict.", attributes={"_sealed": True, **marks})
    await add_node(connection, "processor.Mine.", attributes={"_sealed": True})

    assert await changes_by(connection, 40) == {
        "db_dbnode": {
            whole: {"attributes": {"sealed": True, "x": 1.0}},
            unsealed: {"attributes": {"sealed": False}},
            both: {"attributes": {"sealed": True}},
            active: {"attributes": {"process_state": "waiting"}},
        }
    }


async def test_0040_seals_processes_that_are_over(at: At) -> None:
    connection = await at(39)
    over = {
        await add_node(connection, WORK_CHAIN, attributes={"process_state": state}): state
        for state in ("finished", "excepted", "killed")
    }
    for state in ("created", "running", "waiting", None):
        await add_node(connection, WORK_CHAIN, attributes={"process_state": state})
    await add_node(connection, WORK_CHAIN, attributes={"process_state": "killed", "sealed": False})
    await add_node(connection, WORK_CHAIN, attributes={})
    await add_node(connection, WORK_CHAIN, attributes=None)
    await add_node(connection, "data.dict.Dict.", attributes={"process_state": "finished"})

    assert await changes_by(connection, 40) == {
        "db_dbnode": {
            pk: {"attributes": {"process_state": state, "sealed": True}}
            for pk, state in over.items()
        }
    }


async def test_0041_seals_processes_without_a_state(at: At) -> None:
    connection = await at(40)
    stateless = await add_node(connection, CALC_FUNCTION, attributes={"x": 3.0})
    over = await add_node(connection, CALC_FUNCTION, attributes={"process_state": "finished"})
    for state in ("created", "running", "waiting", None):
        await add_node(connection, WORK_CHAIN, attributes={"process_state": state})
    await add_node(connection, WORK_CHAIN, attributes={"sealed": False})
    await add_node(connection, WORK_CHAIN, attributes=None)
    await add_node(connection, "data.dict.Dict.", attributes={})

    assert await changes_by(connection, 41) == {
        "db_dbnode": {
            stateless: {"attributes": {"x": 3.0, "sealed": True}},
            over: {"attributes": {"process_state": "finished", "sealed": True}},
        }
    }


# ------------------------------------------------------------------ 0042: generation


async def test_0042_sets_the_generation(at: At) -> None:
    connection = await at(41)
    # A database made by replaying has no generation before this step.
    changed = await changes_by(connection, 42)

    (row,) = changed["db_dbsetting"].values()
    assert (row["key"], row["val"], row["description"]) == (
        "schema_generation",
        "1",
        "Database schema generation",
    )


async def test_0042_leaves_a_generation_that_is_there(at: At) -> None:
    connection = await at(41)
    await connection.execute(
        """
        insert into db_dbsetting (key, val, description, time)
        values ('schema_generation', '"7"', 'mine', now())
        """
    )

    assert await changes_by(connection, 42) == {}


# ------------------------------------------------------------------ 0043, 0044: labels and types


async def test_0043_renames_the_default_label_of_links(at: At) -> None:
    connection = await at(42)
    source, target = await add_node(connection), await add_node(connection)
    old = await add_link(connection, source, target, "_return")
    for label in ("return", "result", "_return_1", "x_return", ""):
        await add_link(connection, source, target, label)

    assert await changes_by(connection, 43) == {"db_dblink": {old: {"label": "result"}}}


async def test_0044_renames_the_types_of_groups_that_aiida_made(at: At) -> None:
    connection = await at(43)
    renamed = {
        "user": "core",
        "data.upf": "core.upf",
        "auto.import": "core.import",
        "auto.run": "core.auto",
    }
    groups = {await add_group(connection, old, old): new for old, new in renamed.items()}
    for other in ("", "data.upf.family", "mine.user", "core.pseudo"):
        await add_group(connection, "other", other)

    assert await changes_by(connection, 44) == {
        "db_dbgroup": {pk: {"type_string": new} for pk, new in groups.items()}
    }


# ------------------------------------------------------------------ 0045, 0046: new columns


async def test_0045_gives_groups_empty_extras_without_a_default(at: At) -> None:
    connection = await at(44)
    group = await add_group(connection, "campaign", "core")

    assert await changes_by(connection, 45) == {"db_dbgroup": {group: {"extras": {}}}}
    with pytest.raises(asyncpg.NotNullViolationError):
        await add_group(connection, "another", "core")


async def test_0046_gives_nodes_empty_metadata_without_a_default(at: At) -> None:
    connection = await at(45)
    nodes = [await add_node(connection), await add_node(connection, CALC_JOB)]

    assert await changes_by(connection, 46) == {
        "db_dbnode": {pk: {"repository_metadata": {}} for pk in nodes}
    }
    assert not await connection.fetchval(
        "select atthasdef from pg_attribute where attname = 'repository_metadata'"
    )


# ------------------------------------------------------------------ 0047: files


async def test_0047_moves_the_files_and_names_the_container(at: At, tmp_path: Path) -> None:
    connection = await at(46)
    uuid = "01234567-89ab-4def-8123-456789abcdef"
    with_file = await add_node(connection, uuid=uuid)
    await add_node(connection)
    add_files(tmp_path, uuid, {"sub/a.txt": b"content"})
    before = await content(connection)

    await run_step(connection, 47, repository=tmp_path, export_directory=tmp_path)

    changed = changes(before, await content(connection))
    (setting,) = changed.pop("db_dbsetting").values()
    container = json.loads((tmp_path / "container" / "config.json").read_text("utf-8"))
    assert (setting["key"], setting["val"]) == ("repository|uuid", container["container_id"])
    metadata = {"o": {"sub": {"o": {"a.txt": object_of(b"content")}}}}
    assert changed == {"db_dbnode": {with_file: {"repository_metadata": metadata}}}


# ------------------------------------------------------------------ 0048: computers


async def test_0048_calls_the_name_of_a_computer_its_label(at: At) -> None:
    connection = await at(47)
    pk = await add_computer(connection, "local", "direct")
    name = await connection.fetchval("select name from db_dbcomputer")

    assert await changes_by(connection, 48) == {"db_dbcomputer": {pk: {"label": name}}}
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(
            "insert into db_dbcomputer select id + 1, gen_random_uuid(), label, hostname, "
            "description, transport_type, scheduler_type, metadata from db_dbcomputer"
        )


# ------------------------------------------------------------------ 0049: the prefix core.


async def test_0049_gives_aiidas_own_data_types_the_prefix(at: At) -> None:
    connection = await at(48)
    own = [
        "array.ArrayData.",
        "array.bands.BandsData.",
        "array.kpoints.KpointsData.",
        "array.projection.ProjectionData.",
        "array.trajectory.TrajectoryData.",
        "array.xy.XyData.",
        "base.BaseData.",
        "bool.Bool.",
        "cif.CifData.",
        "code.Code.",
        "dict.Dict.",
        "float.Float.",
        "folder.FolderData.",
        "int.Int.",
        "list.List.",
        "numeric.NumericData.",
        "orbital.OrbitalData.",
        "remote.RemoteData.",
        "remote.stash.RemoteStashData.",
        "remote.stash.folder.RemoteStashFolderData.",
        "singlefile.SinglefileData.",
        "str.Str.",
        "structure.StructureData.",
        "upf.UpfData.",
    ]
    nodes = {await add_node(connection, f"data.{name}"): f"data.core.{name}" for name in own}
    for other in (
        "data.Data.",
        "data.dict.Dict",
        "data.dict.Dictionary.",
        "data.core.dict.Dict.",
        "data.quantumespresso.force_constants.ForceConstantsData.",
        "data.array.mine.ArrayData.",
        CALC_JOB,
        "",
    ):
        await add_node(connection, other)

    assert await changes_by(connection, 49) == {
        "db_dbnode": {pk: {"node_type": new} for pk, new in nodes.items()}
    }


async def test_0049_gives_process_types_and_parsers_the_prefix(at: At) -> None:
    connection = await at(48)
    calculations, workflows = "aiida.calculations", "aiida.workflows"
    expected: Rows = {
        await add_node(connection, CALC_JOB, process_type=f"{group}:{name}"): {
            "process_type": f"{group}:core.{name}"
        }
        for group, name in (
            (calculations, "arithmetic.add"),
            (calculations, "templatereplacer"),
            (workflows, "arithmetic.add_multiply"),
            (workflows, "arithmetic.multiply_add"),
        )
    }
    for parser in ("arithmetic.add", "templatereplacer.doubler"):
        pk = await add_node(connection, CALC_JOB, attributes={"parser_name": parser, "x": 3.0})
        expected[pk] = {"attributes": {"parser_name": f"core.{parser}", "x": 3.0}}
    for process_type in (f"{calculations}:quantumespresso.pw", "arithmetic.add", ""):
        await add_node(connection, CALC_JOB, process_type=process_type)
    for parser_name in ("quantumespresso.pw", None, ["arithmetic.add"]):
        await add_node(connection, CALC_JOB, attributes={"parser_name": parser_name})

    assert await changes_by(connection, 49) == {"db_dbnode": expected}


async def test_0049_leaves_what_a_user_stored_under_parser_name(at: At) -> None:
    connection = await at(48)
    node = await add_node(
        connection, "data.dict.Dict.", attributes={"parser_name": "arithmetic.add"}
    )

    changed = await changes_by(connection, 49)

    assert changed == {"db_dbnode": {node: {"node_type": "data.core.dict.Dict."}}}


async def test_0049_gives_schedulers_and_transports_the_prefix(at: At) -> None:
    connection = await at(48)
    expected: Rows = {
        await add_computer(connection, "mine", scheduler): {"scheduler_type": f"core.{scheduler}"}
        for scheduler in ("direct", "lsf", "pbspro", "sge", "slurm", "torque")
    }
    for transport in ("local", "ssh"):
        pk = await add_computer(connection, transport, "mine")
        expected[pk] = {"transport_type": f"core.{transport}"}
    both = await add_computer(connection, "ssh", "slurm")
    expected[both] = {"transport_type": "core.ssh", "scheduler_type": "core.slurm"}
    await add_computer(connection, "core.local", "core.direct")
    await add_computer(connection, "firecrest", "")

    assert await changes_by(connection, 49) == {"db_dbcomputer": expected}


# ------------------------------------------------------------------ 0050: names and rules


async def main_schema(connection: asyncpg.Connection) -> dict[str, list[str]]:
    """The schema of a new database of the main line, to be reached but for its bookkeeping."""
    tables = await describe(connection)
    del tables["alembic_version"]
    return tables


@pytest.fixture
async def main(main_dsn: str) -> Mapping[str, list[str]]:
    connection = await asyncpg.connect(main_dsn)
    try:
        return await main_schema(connection)
    finally:
        await connection.close()


async def test_0050_makes_the_schema_of_the_main_line(at: At, main: dict[str, list[str]]) -> None:
    connection = await at(49)
    source, target = await add_node(connection), await add_node(connection)
    await add_link(connection, source, target, "x")

    assert await changes_by(connection, 50) == {}
    assert await describe(connection) == main


async def test_0050_finds_constraints_and_indexes_of_any_name(
    at: At, main: dict[str, list[str]]
) -> None:
    connection = await at(49)
    await connection.execute(
        """
        do $$
        declare
            found record;
        begin
            for found in
                select conrelid::regclass as owner, conname as name
                from pg_constraint
                where conrelid::regclass::text ~ '^db_' and contype in ('u', 'f')
            loop
                execute format(
                    'alter table %s rename constraint %I to %I',
                    found.owner, found.name, 'c' || md5(found.name)
                );
            end loop;
            for found in
                select indexrelid::regclass as name
                from pg_index
                where indrelid::regclass::text ~ '^db_' and not indisunique
            loop
                execute format(
                    'alter index %s rename to %I', found.name, 'i' || md5(found.name::text)
                );
            end loop;
        end
        $$
        """
    )

    await run_step(connection, 50)

    assert await describe(connection) == main


async def test_0050_mends_what_is_missing_twice_or_of_another_kind(
    at: At, main: dict[str, list[str]]
) -> None:
    connection = await at(49)
    await connection.execute(prelude())
    await connection.execute(
        """
        select pg_temp.aiidadb_drop_index('db_dblink', array['type'], true);
        select pg_temp.aiidadb_drop_unique('db_dbcomment', array['uuid']);
        select pg_temp.aiidadb_drop_unique('db_dbnode', array['uuid']);
        select pg_temp.aiidadb_drop_foreign_key('db_dblink', array['input_id']);
        select pg_temp.aiidadb_drop_foreign_key('db_dblog', array['dbnode_id']);

        -- An index instead of a constraint, and checked immediately instead of at the commit.
        create unique index only_an_index on db_dbnode (uuid);
        alter table db_dblink add foreign key (input_id) references db_dbnode (id);
        -- What is there twice, and what older releases of Django left.
        create index again on db_dbnode (label);
        create index ix_db_dbnode_label on db_dbnode (label);
        create index db_dbnode_uuid_like on db_dbnode (uuid);
        alter table db_dbuser add unique (email);
        """
    )

    await run_step(connection, 50)

    assert await describe(connection) == main


async def test_0050_keeps_what_the_user_made(at: At, main: dict[str, list[str]]) -> None:
    connection = await at(49)
    await connection.execute(
        """
        create index my_attributes on db_dbnode using gin (attributes);
        create index my_energies on db_dbnode ((attributes ->> 'energy'));
        create index my_sealed on db_dbnode (ctime) where attributes ? 'sealed';
        create index my_pairs on db_dblink (input_id, output_id);
        create index my_descriptions on db_dbnode (description);
        alter table db_dblink add constraint my_links unique (input_id, output_id, label);
        create view my_labels as select label, node_type from db_dbnode;
        create table my_notes (node_uuid uuid references db_dbnode (uuid), note text);
        create table django_session (session_key varchar(40) primary key);
        create table django_admin_log (
            id integer primary key, content_type_id integer references django_content_type (id)
        );
        """
    )

    await run_step(connection, 50)

    tables = await describe(connection)
    kept = {
        fact.split()[1 if fact.startswith("constraint") else 3]
        for table in ("db_dbnode", "db_dblink")
        for fact in set(tables[table]) - set(main[table])
    }
    assert kept == {
        "my_attributes",
        "my_descriptions",
        "my_energies",
        "my_links",
        "my_pairs",
        "my_sealed",
    }
    assert tables.keys() - main.keys() == {"my_notes", "django_session", "django_admin_log"}
    assert "FOREIGN KEY (node_uuid)" in " ".join(tables["my_notes"])


async def test_0050_builds_no_index_anew(at: At) -> None:
    async def files(connection: asyncpg.Connection) -> set[int]:
        rows = await connection.fetch(
            "select pg_relation_filenode(indexrelid) as file from pg_index "
            "where indrelid::regclass::text ~ '^db_'"
        )
        return {row["file"] for row in rows}

    connection = await at(49)
    before = await files(connection)

    await run_step(connection, 50)

    assert await files(connection) == before


# ------------------------------------------------------------------ the main line


async def test_the_start_of_the_main_line_is_the_schema_of_its_head(
    empty_dsn: str, main: dict[str, list[str]]
) -> None:
    connection = await asyncpg.connect(empty_dsn)
    try:
        await run_main_step(connection, "0001_initial")
        assert await describe(connection) == main
    finally:
        await connection.close()


async def test_main_0002_drops_the_hashes_of_calculation_jobs(main_dsn: str) -> None:
    connection = await asyncpg.connect(main_dsn)
    try:
        job = await add_node(connection, CALC_JOB, extras={"_aiida_hash": "abc", "mine": 3.0})
        await add_node(connection, CALC_JOB, extras={"mine": 1})
        await add_node(connection, CALC_JOB, extras=None)
        await add_node(connection, CALC_FUNCTION, extras={"_aiida_hash": "abc"})
        await add_node(connection, "data.core.dict.Dict.", extras={"_aiida_hash": "abc"})
        before = await content(connection)

        await run_main_step(connection, "0002_recompute_hash_calc_job_node")

        assert changes(before, await content(connection)) == {
            "db_dbnode": {job: {"extras": {"mine": 3.0}}}
        }
    finally:
        await connection.close()
