"""The steps of the Django line up to 0036: what each changes, and that it changes nothing else."""

from __future__ import annotations

import json
import uuid as uuids
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.helpers.catalog import describe
from tests.helpers.choices import some_of
from tests.helpers.real_databases import load_schema
from tests.helpers.single_steps import run_step
from tests.helpers.table_rows import changes_by, insert, insert_attribute

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases
    from tests.helpers.table_content import Rows
    from tests.migration.conftest import At

CODE = "code.Code."
DATA = "data.structure.StructureData."
INLINE = "calculation.inline.InlineCalculation."
JOB = "calculation.job.quantumespresso.pw.PwCalculation."
WORK = "calculation.work.WorkCalculation."
CALC_JOB = "node.process.calculation.calcjob.CalcJobNode."
CALC_FUNCTION = "node.process.calculation.calcfunction.CalcFunctionNode."
WORK_CHAIN = "node.process.workflow.workchain.WorkChainNode."
WORK_FUNCTION = "node.process.workflow.workfunction.WorkFunctionNode."
TRAJECTORY = "node.data.array.trajectory.TrajectoryData."


async def node(connection: asyncpg.Connection, node_type: str = DATA, **values: object) -> int:
    return await insert(connection, "db_dbnode", type=node_type, **values)


async def link(
    connection: asyncpg.Connection, source: int, target: int, link_type: str, label: str = "l"
) -> int:
    return await insert(
        connection, "db_dblink", input_id=source, output_id=target, label=label, type=link_type
    )


async def tables(connection: asyncpg.Connection) -> set[str]:
    return set(await describe(connection))


async def columns(connection: asyncpg.Connection, table: str) -> set[str]:
    facts = (await describe(connection))[table]
    return {fact.split()[1] for fact in facts if fact.startswith("column")}


async def column(connection: asyncpg.Connection, table: str, name: str) -> list[object]:
    rows = await connection.fetch(f"select {name} from {table} order by id")
    return [row[name] for row in rows]


# ------------------------------------------------------------------ the chain as a whole


async def test_the_chain_begins_with_djangos_rows_for_every_model(at: At) -> None:
    connection = await at(1)

    rows = await connection.fetch(
        """
        select content_type.app_label, content_type.model, permission.codename, permission.name
        from auth_permission as permission
        join django_content_type as content_type on content_type.id = permission.content_type_id
        where content_type.model in ('contenttype', 'dbcalcstate')
        order by permission.id
        """
    )

    assert [tuple(row) for row in rows] == [
        ("contenttypes", "contenttype", "add_contenttype", "Can add content type"),
        ("contenttypes", "contenttype", "change_contenttype", "Can change content type"),
        ("contenttypes", "contenttype", "delete_contenttype", "Can delete content type"),
        ("db", "dbcalcstate", "add_dbcalcstate", "Can add db calc state"),
        ("db", "dbcalcstate", "change_dbcalcstate", "Can change db calc state"),
        ("db", "dbcalcstate", "delete_dbcalcstate", "Can delete db calc state"),
    ]
    steps = await connection.fetch("select app, name from django_migrations order by id")
    assert [tuple(row) for row in steps] == [
        ("contenttypes", "0001_initial"),
        ("auth", "0001_initial"),
        ("db", "0001_initial"),
    ]


@pytest.mark.parametrize("number", some_of(range(1, 37), range(1, 37, 5)))
async def test_the_schema_after_the_step_is_aiidas(
    number: int, databases: Databases, at: At
) -> None:
    ours = await describe(await at(number), names=False)
    dsn = await load_schema(databases, f"django_{number:04}")
    connection = await asyncpg.connect(dsn)
    theirs = await describe(connection, names=False)
    await connection.close()
    await databases.drop(dsn)

    # aiida-core 2.9.4's tables of Django are stubs, as it makes them to drop them.
    for tables_found in (ours, theirs):
        for table in [name for name in tables_found if name.startswith(("auth_", "django_"))]:
            del tables_found[table]
    assert ours == theirs


_RENAME_ALL = """
    do $$
    declare
        known record;
    begin
        for known in
            select conrelid::regclass as owner, conname as name from pg_constraint
            where connamespace = 'public'::regnamespace and contype <> 'n'
        loop
            execute format(
                'alter table %s rename constraint %I to %I', known.owner, known.name,
                'constraint_' || md5(known.name)
            );
        end loop;
        for known in
            select indexname as name from pg_indexes
            where schemaname = 'public' and indexname not like 'constraint_%'
        loop
            execute format('alter index %I rename to %I', known.name, 'index_' || md5(known.name));
        end loop;
    end
    $$
"""


@pytest.mark.parametrize("start", some_of([1, 5, 13, 17, 23], [13]))
async def test_names_of_constraints_and_indexes_do_not_matter(start: int, at: At) -> None:
    connection = await at(start)
    await connection.execute(_RENAME_ALL)

    for number in range(start + 1, 37):
        await run_step(connection, number, without_repository=True)

    expected = await describe(await at(36), names=False)
    assert await describe(connection, names=False) == expected


@pytest.mark.quick
async def test_no_step_changes_what_is_none_of_its_business(at: At) -> None:
    connection = await at(1)
    source = await insert(connection, "db_dbnode", type="data.mine.Mine.", label="s")
    target = await insert(connection, "db_dbnode", type="mine.Mine.", label="t")
    await insert(connection, "db_dblink", input_id=source, output_id=target, label="l")
    for extra in (False, True):
        for value in ("x", 1, True, [], {}):
            key = type(value).__name__
            await insert_attribute(connection, source, key, value, extra=extra)
    computer = await insert(connection, "db_dbcomputer", name="c", metadata='{"a": 1.0}')
    await connection.execute("update db_dbcomputer set transport_params = '{}'")
    await insert(
        connection, "db_dbauthinfo", dbcomputer_id=computer, metadata="{}", auth_params="{}"
    )
    group = await insert(connection, "db_dbgroup", name="g", type="mine")
    await insert(connection, "db_dbgroup_dbnodes", dbgroup_id=group, dbnode_id=source)
    await insert(connection, "db_dbcomment", dbnode_id=source, content="so")
    await insert(
        connection, "db_dblog", objname="node.mine.Mine.", objpk=target, metadata='{"a": 1}'
    )
    await insert(connection, "db_dbsetting", key="mine", datatype="txt", tval="x")

    for number in range(2, 37):
        changes = await changes_by(connection, number)
        # Their texts become JSON, and the type of data has a prefix for three versions.
        if number in (25, 28):
            assert list(changes.updated) == ["db_dbnode"]
        elif number == 33:
            assert set(changes.updated) == {"db_dbauthinfo", "db_dbcomputer", "db_dblog"}
        else:
            assert not changes, number

    nodes = await connection.fetch(
        "select node_type, label, mtime::text from db_dbnode order by id"
    )
    assert [tuple(row) for row in nodes] == [
        ("data.mine.Mine.", "s", "2015-02-03 00:00:00+00"),
        ("mine.Mine.", "t", "2015-02-03 00:00:00+00"),
    ]


# ------------------------------------------------------------------ 0002: states of calculations


@pytest.mark.parametrize(
    ("states", "left"),
    [
        (["NEW", "UNDETERMINED"], ["NEW", "FAILED"]),
        (["NOTFOUND"], ["FAILED"]),
        (["NOTFOUND", "UNDETERMINED"], ["FAILED"]),
        (["FAILED", "NOTFOUND"], ["FAILED"]),
        (["NEW", "FINISHED"], ["NEW", "FINISHED"]),
    ],
)
async def test_0002_fails_calculations_of_states_that_are_no_more(
    at: At, states: list[str], left: list[str]
) -> None:
    connection = await at(1)
    job = await node(connection, JOB)
    for state in states:
        await insert(connection, "db_dbcalcstate", dbnode_id=job, state=state)

    changes = await changes_by(connection, 2)

    assert await column(connection, "db_dbcalcstate", "state") == left
    logs = list(changes.added.get("db_dblog", {}).values())
    assert [(log["objpk"], log["objname"], log["levelname"]) for log in logs] == [
        (job, f"node.{JOB}", "WARNING") for state in states if state in ("UNDETERMINED", "NOTFOUND")
    ]
    for log, state in zip(logs, [s for s in states if s.startswith(("UND", "NOT"))], strict=True):
        assert f"Job state {state} found for calculation {job} " in str(log["message"])


# ------------------------------------------------------------------ 0003 to 0006: links, indexes


async def test_0003_gives_links_an_empty_type_and_lets_nodes_have_several(at: At) -> None:
    connection = await at(2)
    source, target = await node(connection), await node(connection, JOB)
    await insert(connection, "db_dblink", input_id=source, output_id=target, label="l")

    assert not await changes_by(connection, 3)

    await link(connection, source, target, "inputlink")
    assert await column(connection, "db_dblink", "type") == ["", "inputlink"]


async def test_0006_drops_the_closure_of_links_and_what_filled_it(at: At) -> None:
    connection = await at(5)
    await connection.execute(
        """
        create function update_tc() returns trigger language plpgsql as $$
        begin
            insert into db_dbpath (parent_id, child_id, depth)
            values (new.input_id, new.output_id, 0);
            return new;
        end
        $$;
        create trigger autoupdate_tc after insert or delete or update on db_dblink
        for each row execute function update_tc();
        """
    )
    source, target = await node(connection), await node(connection, JOB)
    kept = await link(connection, source, target, "inputlink")

    assert not await changes_by(connection, 6)

    await link(connection, source, target, "inputlink")
    assert await column(connection, "db_dblink", "id") == [kept, kept + 1]
    assert "db_dbpath" not in await tables(connection)
    assert await connection.fetchval("select to_regproc('update_tc')") is None


# ------------------------------------------------------------------ 0007: types of links


LINKS_0007 = [
    # From, to, type before, type after.
    (INLINE, DATA, "returnlink", "createlink"),
    ("calculation.inline.Mine.", DATA, "returnlink", "createlink"),
    (DATA, JOB, "", "inputlink"),
    (DATA, WORK, "", "inputlink"),
    (CODE, JOB, "", "inputlink"),
    (JOB, DATA, "", "createlink"),
    (INLINE, DATA, "", "createlink"),
    (WORK, DATA, "", "returnlink"),
    (WORK, JOB, "", "calllink"),
    (WORK, WORK, "", "calllink"),
    # What must be left alone.
    (WORK, DATA, "returnlink", "returnlink"),
    (INLINE, DATA, "createlink", "createlink"),
    (INLINE, WORK, "returnlink", "returnlink"),
    ("calculation.inline.Mine.", DATA, "", ""),
    ("calculation.work.Mine.", JOB, "", ""),
    (DATA, DATA, "", ""),
    (JOB, JOB, "", ""),
    ("code.Mine.", JOB, "", ""),
    (DATA, JOB, "mine", "mine"),
]


async def test_0007_infers_the_type_of_a_link_from_its_ends(at: At) -> None:
    connection = await at(6)
    expected = {}
    for source, target, before, after in LINKS_0007:
        ends = [await node(connection, source), await node(connection, target)]
        pk = await link(connection, ends[0], ends[1], before)
        if before != after:
            expected[pk] = {"type": after}

    assert (await changes_by(connection, 7)).updated == {"db_dblink": expected}


# ------------------------------------------------------------------ 0008: hidden codes


async def test_0008_makes_an_extra_of_the_attribute_hidden_of_codes(at: At) -> None:
    connection = await at(7)
    hidden, shown, data = [await node(connection, kind) for kind in (CODE, CODE, DATA)]
    moved = {
        await insert_attribute(connection, hidden, "hidden", True),
        await insert_attribute(connection, shown, "hidden", False),
    }
    await insert_attribute(connection, hidden, "hidden_too", True)
    await insert_attribute(connection, data, "hidden", True)

    changes = await changes_by(connection, 8)

    assert changes.removed == {"db_dbattribute": moved}
    assert not changes.updated
    extras = list(changes.added["db_dbextra"].values())
    assert [(e["dbnode_id"], e["key"], e["datatype"], e["bval"]) for e in extras] == [
        (hidden, "hidden", "bool", True),
        (shown, "hidden", "bool", False),
    ]


async def test_0008_keeps_an_extra_of_that_name_and_the_attribute(at: At) -> None:
    connection = await at(7)
    code = await node(connection, CODE)
    await insert_attribute(connection, code, "hidden", True)
    await insert_attribute(connection, code, "hidden", "mine", extra=True)

    assert not await changes_by(connection, 8)


# ------------------------------------------------------------------ types of nodes


@pytest.mark.parametrize(
    ("number", "renamed", "left"),
    [
        (
            9,
            {
                "data.base.Bool.": "data.bool.Bool.",
                "data.base.Float.": "data.float.Float.",
                "data.base.Int.": "data.int.Int.",
                "data.base.Str.": "data.str.Str.",
                "data.base.List.": "data.list.List.",
            },
            ["data.base.Mine.", "data.base.Bool.Mine.", "data.base.Bool", "base.Bool."],
        ),
        (16, {CODE: "data.code.Code."}, ["code.Code.Mine.", "mine.code.Code.", DATA]),
        (
            25,
            {DATA: f"node.{DATA}", "data.": "node.data."},
            ["datatype.Mine.", "node.data.Mine.", WORK_CHAIN, ""],
        ),
        (
            28,
            {
                f"node.{DATA}": DATA,
                "node.data.node.data.Mine.": "data.node.data.Mine.",
                WORK_CHAIN: "process.workflow.workchain.WorkChainNode.",
            },
            ["node.Mine.", "node.datatype.Mine.", DATA, "process.Mine."],
        ),
        (
            29,
            {"data.parameter.ParameterData.": "data.dict.Dict."},
            ["data.parameter.ParameterData.Mine.", "data.dict.Dict.", DATA],
        ),
        (  # few nodes are updated, many rewritten
            29,
            {"data.parameter.ParameterData.": "data.dict.Dict."},
            ["data.parameter.ParameterData.Mine.", "data.dict.Dict.", DATA, JOB],
        ),
    ],
)
async def test_types_of_nodes_are_renamed(
    at: At, number: int, renamed: dict[str, str], left: list[str]
) -> None:
    connection = await at(number - 1)
    pks = {before: await node(connection, before) for before in (*renamed, *left)}

    changes = await changes_by(connection, number)

    assert changes.updated == {
        "db_dbnode": {pks[before]: {"type": after} for before, after in renamed.items()}
    }
    assert not changes.added
    assert not changes.removed


# ------------------------------------------------------------------ 0010 to 0017


async def test_0010_leaves_the_type_of_process_open(at: At) -> None:
    connection = await at(9)
    await node(connection, JOB)

    assert not await changes_by(connection, 10)
    assert await column(connection, "db_dbnode", "process_type") == [None]


async def test_0011_removes_the_old_daemon(at: At) -> None:
    connection = await at(10)
    await connection.execute(
        """
        create table kombu_queue (id serial primary key, name varchar(200) not null);
        create table kombu_message (
            id serial primary key, queue_id integer not null references kombu_queue (id)
        );
        """
    )
    gone = {
        await insert(connection, "db_dbsetting", key=f"daemon|{key}", datatype="txt", tval="x")
        for key in ("user", "task_stop|retriever", "task_start|submitter", "task_stop|updater")
    }
    for key in ("daemon", "daemon|mine", "daemon|users", "user"):
        await insert(connection, "db_dbsetting", key=key, datatype="txt", tval="x")

    changes = await changes_by(connection, 11)

    assert changes.removed == {"db_dbsetting": gone}
    assert not changes.updated
    assert not {"kombu_queue", "kombu_message"} & await tables(connection)


@pytest.mark.quick
@pytest.mark.parametrize(("number", "table"), [(12, "db_dblock"), (17, "db_dbcalcstate")])
async def test_a_table_goes_with_its_rows(at: At, number: int, table: str) -> None:
    connection = await at(number - 1)
    if table == "db_dblock":
        await connection.execute("insert into db_dblock values ('k', now(), 1, 'o')")
    else:
        await insert(connection, table, dbnode_id=await node(connection, JOB), state="NEW")

    assert not await changes_by(connection, number)
    assert table not in await tables(connection)


async def test_0013_lets_a_user_have_a_long_email_and_no_login(at: At) -> None:
    connection = await at(12)
    user = await insert(connection, "db_dbuser", email="ada@epfl.ch")

    assert not await changes_by(connection, 13)

    email = "a" * 243 + "@epfl.ch"
    await connection.execute(
        "update db_dbuser set email = $2::text, last_login = null where id = $1::int", user, email
    )


async def test_0014_makes_the_uuid_of_nodes_unique(at: At) -> None:
    connection = await at(13)
    await node(connection, uuid="4f6d3ac3-6d4c-4a4c-a4a2-0f6d0a3f9c11")

    assert not await changes_by(connection, 14)

    with pytest.raises(asyncpg.UniqueViolationError):
        await node(connection, uuid="4f6d3ac3-6d4c-4a4c-a4a2-0f6d0a3f9c11")


async def test_0014_works_on_indexes_as_django_1_7_made_them(at: At) -> None:
    connection = await at(13)
    await connection.execute(
        """
        do $$
        declare
            known name;
        begin
            for known in
                select indexname from pg_indexes
                where tablename = 'db_dbnode' and indexdef like '%(uuid%'
            loop
                execute format('drop index %I', known);
            end loop;
        end
        $$;
        -- A plain index by a name that sounds like a constraint's, and no pattern index.
        create index db_dbnode_uuid_711fa857427da5e6_uniq on db_dbnode (uuid);
        """
    )

    await run_step(connection, 14)

    facts = (await describe(connection, names=False))["db_dbnode"]
    assert [fact for fact in facts if fact.endswith(("(uuid)", "(uuid varchar_pattern_ops)"))] == [
        "constraint UNIQUE (uuid)"
    ]


async def test_0015_drops_hashes(at: At) -> None:
    connection = await at(14)
    pk = await node(connection)
    gone = await insert_attribute(connection, pk, "_aiida_hash", "abc", extra=True)
    await insert_attribute(connection, pk, "hash", "abc", extra=True)
    await insert_attribute(connection, pk, "_aiida_hash", "abc")

    changes = await changes_by(connection, 15)

    assert changes.removed == {"db_dbextra": {gone}}
    assert not changes.updated


# ------------------------------------------------------------------ uuids (0014, 0018)

UUID_TABLES = ["db_dbnode", "db_dbcomment", "db_dbcomputer", "db_dbgroup", "db_dbworkflow"]


async def row_with_uuid(connection: asyncpg.Connection, table: str, uuid: str) -> int:
    name = str(uuids.uuid4())
    match table:
        case "db_dbcomment":
            return await insert(connection, table, uuid=uuid, dbnode_id=await node(connection))
        case "db_dbcomputer" | "db_dbgroup":
            return await insert(connection, table, uuid=uuid, name=name)
        case _:
            return await insert(connection, table, uuid=uuid, label=name)


@pytest.mark.parametrize(
    ("number", "table"), [(14, "db_dbnode"), *((18, table) for table in UUID_TABLES[1:])]
)
async def test_duplicate_uuids_are_refused_and_nothing_is_changed(
    at: At, number: int, table: str
) -> None:
    connection = await at(number - 1)
    uuid = str(uuids.uuid4())
    for _ in range(3):
        await row_with_uuid(connection, table, uuid)
    before = await describe(connection)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await run_step(connection, number)

    assert f"table {table} has 3 rows with a uuid that another row also has" in str(refused.value)
    assert "apply_new_uuid_mapping" in str(refused.value.hint)
    assert await describe(connection) == before


@pytest.mark.parametrize("table", UUID_TABLES)
async def test_0018_refuses_uuids_that_are_none(at: At, table: str) -> None:
    connection = await at(17)
    await row_with_uuid(connection, table, "")
    await row_with_uuid(connection, table, str(uuids.uuid4()))

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await run_step(connection, 18)

    assert f"table {table} has 1 row with an invalid uuid" in str(refused.value)


async def test_0018_refuses_one_uuid_written_in_two_ways(at: At) -> None:
    connection = await at(17)
    uuid = uuids.uuid4()
    await node(connection, uuid=str(uuid))
    await node(connection, uuid=uuid.hex.upper())

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await run_step(connection, 18)

    assert "table db_dbnode has 2 rows with a uuid that another row also has" in str(refused.value)


async def test_0018_keeps_every_uuid(at: At) -> None:
    connection = await at(17)
    uuid = uuids.uuid4()
    for table in UUID_TABLES:
        await row_with_uuid(connection, table, str(uuid))

    assert not await changes_by(connection, 18)

    for table in UUID_TABLES:
        assert uuid in await column(connection, table, "uuid")
        with pytest.raises(asyncpg.UniqueViolationError):
            await row_with_uuid(connection, table, str(uuid))


async def test_0018_refuses_two_users_of_one_email(at: At) -> None:
    connection = await at(17)
    for email in ("ada@epfl.ch", "ada@epfl.ch", "eve@epfl.ch"):
        await insert(connection, "db_dbuser", email=email)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await run_step(connection, 18)

    assert "table db_dbuser has 2 rows with an email that another" in str(refused.value)


async def test_0018_makes_the_index_that_django_1_7_forgot(at: At) -> None:
    connection = await at(17)
    expected = await describe(await at(18), names=False)
    await connection.execute("drop index db_dblink_type_like")

    await run_step(connection, 18)

    assert await describe(connection, names=False) == expected


# ------------------------------------------------------------------ 0019: built-in calculations


async def test_0019_renames_aiidas_own_calculations(at: At) -> None:
    connection = await at(18)
    old = "calculation.job.simpleplugins."
    adding = await node(
        connection,
        f"{old}arithmetic.add.ArithmeticAddCalculation.",
        process_type="aiida.calculations:simpleplugins.arithmetic.add",
    )
    replacing = await node(connection, f"{old}templatereplacer.TemplatereplacerCalculation.")
    code, data = await node(connection, "data.code.Code."), await node(connection)
    plugin = await insert_attribute(
        connection, code, "input_plugin", "simpleplugins.templatereplacer"
    )
    # What must be left alone.
    await node(connection, f"{old}mine.MineCalculation.", process_type="aiida.calculations:mine")
    await insert_attribute(connection, code, "plugin", "simpleplugins.arithmetic.add")
    await insert_attribute(connection, data, "input_plugin", "simpleplugins.arithmetic.add")
    other = await node(connection, "data.code.Code.")
    await insert_attribute(connection, other, "input_plugin", "simpleplugins.mine")

    changes = await changes_by(connection, 19)

    assert changes.updated == {
        "db_dbnode": {
            adding: {
                "type": "calculation.job.arithmetic.add.ArithmeticAddCalculation.",
                "process_type": "aiida.calculations:arithmetic.add",
            },
            replacing: {"type": "calculation.job.templatereplacer.TemplatereplacerCalculation."},
        },
        "db_dbattribute": {plugin: {"tval": "templatereplacer"}},
    }


# ------------------------------------------------------------------ 0020: provenance redesign


NODES_0020 = [
    # Type and process type before, both after.
    (JOB, None, (CALC_JOB, "aiida.calculations:quantumespresso.pw")),
    (
        "calculation.job.arithmetic.add.ArithmeticAddCalculation.",
        None,
        (CALC_JOB, "aiida.calculations:arithmetic.add"),
    ),
    ("calculation.job.cp2k.Cp2kCalculation.", None, (CALC_JOB, "aiida.calculations:cp2k")),
    ("calculation.job.mine.deep.MyCalculation.", None, (CALC_JOB, "mine.deep.MyCalculation")),
    (
        "calculation.job.mine.deep.MyCalculation.",
        "aiida.calculations:mine.deep",
        (CALC_JOB, "aiida.calculations:mine.deep"),
    ),
    ("calculation.job.mine.MyCalculation.", "mine", (CALC_JOB, "mine.MyCalculation")),
    ("calculation.job.JobCalculation.", None, (CALC_JOB, "")),
    (INLINE, None, (CALC_FUNCTION, None)),
    (INLINE, "aiida.mine:x", (CALC_FUNCTION, "aiida.mine:x")),
    ("calculation.function.FunctionCalculation.", None, (WORK_FUNCTION, None)),
    (WORK, "my.module.Chain", (WORK_CHAIN, "my.module.Chain")),
    ("calculation.process.ProcessCalculation.", None, (WORK_CHAIN, None)),
    ("calculation.Calculation.", None, ("calculation.Calculation.", None)),
    (DATA, "x", (DATA, "x")),
]


async def test_0020_makes_calculations_process_nodes(at: At) -> None:
    connection = await at(19)
    expected = {}
    for before, process_type, after in NODES_0020:
        pk = await node(connection, before, process_type=process_type)
        if changed := {
            name: new
            for name, old, new in zip(
                ("type", "process_type"), (before, process_type), after, strict=True
            )
            if old != new
        }:
            expected[pk] = changed

    assert (await changes_by(connection, 20)).updated == {"db_dbnode": expected}


@pytest.mark.parametrize("before", [WORK, "calculation.process.ProcessCalculation."])
async def test_0020_tells_workfunctions_by_the_name_of_their_function(at: At, before: str) -> None:
    connection = await at(19)
    function, chain = await node(connection, before), await node(connection, before)
    await insert_attribute(connection, function, "function_name", "f")
    await insert_attribute(connection, chain, "function_names", "f")

    await changes_by(connection, 20)

    assert await column(connection, "db_dbnode", "type") == [WORK_FUNCTION, WORK_CHAIN]


LINKS_0020 = [
    # From, to, type before, type after.
    (JOB, DATA, "createlink", "create"),
    (WORK, DATA, "returnlink", "return"),
    (DATA, JOB, "inputlink", "input_calc"),
    (DATA, INLINE, "inputlink", "input_calc"),
    (DATA, WORK, "inputlink", "input_work"),
    (DATA, "calculation.function.FunctionCalculation.", "inputlink", "input_work"),
    (WORK, JOB, "calllink", "call_calc"),
    (WORK, WORK, "calllink", "call_work"),
    # What must not be.
    (JOB, DATA, "returnlink", None),
    (INLINE, DATA, "returnlink", None),
    (JOB, WORK, "calllink", None),
    (INLINE, JOB, "calllink", None),
    (WORK, DATA, "createlink", None),
    ("calculation.function.FunctionCalculation.", DATA, "createlink", None),
    # What is none of the step's business.
    ("calculation.process.ProcessCalculation.", DATA, "createlink", "create"),
    (DATA, DATA, "inputlink", "inputlink"),
    (WORK, DATA, "calllink", "calllink"),
    (DATA, JOB, "mine", "mine"),
    (DATA, JOB, "", ""),
]


async def test_0020_gives_links_the_types_of_today(at: At, tmp_path: Path) -> None:
    connection = await at(19)
    expected: Rows = {}
    gone = set()
    for source, target, before, after in LINKS_0020:
        ends = [await node(connection, source), await node(connection, target)]
        pk = await link(connection, ends[0], ends[1], before)
        if after is None:
            gone.add(pk)
        elif after != before:
            expected[pk] = {"type": after}

    changes = await changes_by(connection, 20, export_directory=tmp_path)

    assert changes.updated["db_dblink"] == expected
    assert changes.removed == {"db_dblink": gone}
    # What leaves the database is in a file.
    (outcome,) = changes.outcomes
    assert outcome.rows == len(gone)
    assert list(outcome.files) == list(tmp_path.iterdir())


async def test_0020_writes_no_file_where_no_link_goes(at: At, tmp_path: Path) -> None:
    connection = await at(19)
    ends = [await node(connection, DATA), await node(connection, JOB)]
    await link(connection, ends[0], ends[1], "inputlink")

    await changes_by(connection, 20, export_directory=tmp_path)

    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ 0021, 0022: groups


async def test_0021_renames_the_columns_of_groups(at: At) -> None:
    connection = await at(20)
    await insert(connection, "db_dbgroup", name="g", type="t")

    assert not await changes_by(connection, 21)

    assert await column(connection, "db_dbgroup", "label") == ["g"]
    assert await column(connection, "db_dbgroup", "type_string") == ["t"]
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(connection, "db_dbgroup", label="g", type_string="t")


async def test_0022_renames_the_types_of_groups(at: At) -> None:
    connection = await at(21)
    renamed = {
        "": "user",
        "data.upf.family": "data.upf",
        "aiida.import": "auto.import",
        "autogroup.run": "auto.run",
    }
    pks = {
        before: await insert(connection, "db_dbgroup", label="g", type_string=before)
        for before in (*renamed, "mine", "auto.import.mine")
    }

    changes = await changes_by(connection, 22)

    assert changes.updated == {
        "db_dbgroup": {pks[before]: {"type_string": after} for before, after in renamed.items()}
    }


async def test_0022_refuses_a_group_whose_new_name_is_taken(at: At) -> None:
    connection = await at(21)
    for type_string in ("", "user"):
        await insert(connection, "db_dbgroup", label="mine", type_string=type_string)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await run_step(connection, 22)

    assert "db_dbgroup has 1 row whose label is taken under the new" in str(refused.value)
    assert 'such as "mine"' in str(refused.value)
    assert "another label" in str(refused.value.hint)


# ------------------------------------------------------------------ 0023: keys of attributes


KEYS_0023 = [
    # Type of the node, key before, key after.
    (CALC_JOB, "custom_environment_variables", "environment_variables"),
    (CALC_JOB, "custom_environment_variables.PATH", "environment_variables.PATH"),
    (CALC_JOB, "jobresource_params", "resources"),
    (CALC_JOB, "jobresource_params.a.b", "resources.a.b"),
    (CALC_JOB, "jobresource_params.parser", "resources.parser"),
    (CALC_JOB, "parser", "parser_name"),
    (CALC_JOB, "_process_label", "process_label"),
    (CALC_FUNCTION, "_process_label", "process_label"),
    (WORK_CHAIN, "_process_label", "process_label"),
    # What must be left alone.
    (CALC_JOB, "parser.mine", "parser.mine"),
    (CALC_JOB, "parsers", "parsers"),
    (CALC_JOB, "_process_label.mine", "_process_label.mine"),
    (CALC_JOB, "jobresource_params_mine", "jobresource_params_mine"),
    (CALC_JOB, "jobresourceXparams.a", "jobresourceXparams.a"),
    (CALC_JOB, "mine.jobresource_params", "mine.jobresource_params"),
    (CALC_JOB, "linkname_retrieved", "linkname_retrieved"),
    (WORK_CHAIN, "parser", "parser"),
    (CALC_FUNCTION, "jobresource_params", "jobresource_params"),
    (DATA, "_process_label", "_process_label"),
]


async def test_0023_calls_attributes_what_options_are_called(at: At) -> None:
    connection = await at(22)
    expected = {}
    for node_type, before, after in KEYS_0023:
        pk = await insert_attribute(connection, await node(connection, node_type), before, "x")
        if before != after:
            expected[pk] = {"key": after}

    assert (await changes_by(connection, 23)).updated == {"db_dbattribute": expected}


async def test_0023_keeps_both_where_the_new_key_is_taken(at: At) -> None:
    connection = await at(22)
    job = await node(connection, CALC_JOB)
    for key, value in (
        ("parser", "x"),
        ("parser_name", "y"),
        ("jobresource_params", {"a": 1}),
        ("jobresource_params.a", 1),
        ("resources", {}),
    ):
        await insert_attribute(connection, job, key, value)
    free = await insert_attribute(connection, await node(connection, CALC_JOB), "parser", "x")

    changes = await changes_by(connection, 23)

    assert changes.updated == {"db_dbattribute": {free: {"key": "parser_name"}}}


# ------------------------------------------------------------------ 0024: logs


async def test_0024_ties_every_log_to_its_node(at: At, tmp_path: Path) -> None:
    connection = await at(23)
    owner, other = await node(connection, CALC_JOB), await node(connection)
    kept = [
        await insert(
            connection, "db_dblog", objname=f"node.{CALC_JOB}", objpk=owner, metadata="{}"
        ),
        await insert(connection, "db_dblog", objname="node.", objpk=other, metadata="{}"),
    ]
    gone = {
        await insert(connection, "db_dblog", objname=name, objpk=pk, metadata="{}")
        for name, pk in (
            ("aiida.workflows.user.mine", owner),
            ("mine", owner),
            ("node", owner),
            ("", owner),
            (f"node.{CALC_JOB}", 999),
            (f"node.{CALC_JOB}", None),
        )
    }

    changes = await changes_by(connection, 24, export_directory=tmp_path)

    assert changes.removed == {"db_dblog": gone}
    assert changes.outcomes[0].rows == len(gone)
    assert await column(connection, "db_dblog", "id") == kept
    assert await column(connection, "db_dblog", "dbnode_id") == [owner, other]
    found = await column(connection, "db_dblog", "uuid")
    assert len(set(found)) == 2
    assert all(isinstance(uuid, uuids.UUID) and uuid.version == 4 for uuid in found)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await insert(connection, "db_dblog", dbnode_id=999, metadata="{}")


METADATA_0024 = [
    # Before, after.
    ('{"objpk": 6, "objname": "node.x", "msg": "boom"}', {"msg": "boom"}),
    ('{"objname": "node.x"}', {}),
    ('{"a": {"objpk": 6}, "objpk": 7}', {"a": {"objpk": 6}}),
    ('{"created": 1795403196.361194, "objpk": 6}', {"created": 1795403196.361194}),
    ('{"args": ["\\u00e9", NaN], "objpk": 6}', {"args": ["é", "nan"]}),
]


async def test_0024_takes_the_node_out_of_the_metadata(at: At) -> None:
    connection = await at(23)
    owner = await node(connection, CALC_JOB)
    for before, _ in METADATA_0024:
        await insert(connection, "db_dblog", objname="node.x", objpk=owner, metadata=before)

    await changes_by(connection, 24)

    texts = await column(connection, "db_dblog", "metadata")
    assert [json.loads(str(text)) for text in texts] == [after for _, after in METADATA_0024]


async def test_0024_leaves_the_text_of_other_metadata(at: At) -> None:
    connection = await at(23)
    owner = await node(connection, CALC_JOB)
    for metadata in (
        "{}",
        '{"b":1,"a":2.0}',
        '["objpk"]',
        '"objpk"',
        '{"objpk": \\}',
        '{"a": NaN}',
        "",
    ):
        await insert(connection, "db_dblog", objname="node.x", objpk=owner, metadata=metadata)

    assert not await changes_by(connection, 24)


# ------------------------------------------------------------------ 0027: symbols of trajectories


async def test_0027_deletes_what_is_kept_twice(at: At) -> None:
    connection = await at(26)
    moved, unmoved, other = [
        await node(connection, kind)
        for kind in (TRAJECTORY, TRAJECTORY, "node.data.array.ArrayData.")
    ]
    gone = set()
    for pk in (moved, unmoved, other):
        rows = {
            await insert_attribute(connection, pk, "array|symbols", [5]),
            await insert_attribute(connection, pk, "array|symbols.0", 5),
        }
        gone |= rows if pk == moved else set()
        await insert_attribute(connection, pk, "array|symbols_mine", [5])
        await insert_attribute(connection, pk, "array|cells", [5])
    for pk in (moved, other):
        await insert_attribute(connection, pk, "symbols", ["H", "O"])
    await insert_attribute(connection, unmoved, "symbols", "mine")

    changes = await changes_by(connection, 27)

    assert changes.removed == {"db_dbattribute": gone}
    assert not changes.updated


# ------------------------------------------------------------------ 0030 to 0036


async def test_0030_renames_the_type_of_nodes(at: At) -> None:
    connection = await at(29)
    await node(connection, DATA)

    assert not await changes_by(connection, 30)
    assert await column(connection, "db_dbnode", "node_type") == [DATA]


@pytest.mark.parametrize(
    ("number", "table", "gone"),
    [
        (31, "db_dbcomputer", {"enabled"}),
        (34, "db_dbnode", {"nodeversion", "public"}),
        (
            35,
            "db_dbuser",
            {"password", "date_joined", "is_active", "is_staff", "is_superuser", "last_login"},
        ),
        (36, "db_dbcomputer", {"transport_params"}),
    ],
)
async def test_columns_go_and_the_others_stay(
    at: At, number: int, table: str, gone: set[str]
) -> None:
    connection = await at(number - 1)
    before = await columns(connection, table)
    assert gone < before
    await insert(connection, table)

    assert not await changes_by(connection, number)
    assert await columns(connection, table) == before - gone


async def test_0032_writes_workflows_to_a_file_and_drops_them(at: At, tmp_path: Path) -> None:
    connection = await at(31)
    workflow = await insert(connection, "db_dbworkflow", label="w")
    sub_workflow = await insert(connection, "db_dbworkflow", label="s")
    step = await insert(connection, "db_dbworkflowstep", parent_id=workflow, name="start")
    await insert(
        connection,
        "db_dbworkflowstep_sub_workflows",
        dbworkflowstep_id=step,
        dbworkflow_id=sub_workflow,
    )
    calculation = await insert(connection, "db_dbnode")
    await insert(
        connection, "db_dbworkflowstep_calculations", dbworkflowstep_id=step, dbnode_id=calculation
    )
    await insert(connection, "db_dbworkflowdata", parent_id=workflow, aiida_obj_id=calculation)

    changes = await changes_by(connection, 32, export_directory=tmp_path)

    assert not changes
    (outcome,) = changes.outcomes
    assert outcome.rows == 4
    assert len(outcome.files) == 1
    assert not [name for name in await tables(connection) if "workflow" in name]


async def test_0032_writes_no_file_where_there_are_no_workflows(at: At, tmp_path: Path) -> None:
    connection = await at(31)

    await changes_by(connection, 32, export_directory=tmp_path)

    assert not list(tmp_path.iterdir())


JSON_0033 = [
    # Text before, the JSON after.
    ("{}", "{}"),
    ('{"b":1,"a":2.0}', '{"a": 2.0, "b": 1}'),
    ('{"a": "\\u00e9\\n"}', '{"a": "é\\n"}'),
    ('{"a": [NaN, Infinity, -Infinity, -1]}', '{"a": ["nan", "inf", "-inf", -1]}'),
    ('{"NaN": "NaN, \\"Infinity"}', '{"NaN": "NaN, \\"Infinity"}'),
    ("NaN", '"nan"'),
]


async def test_0033_makes_json_of_text(at: At) -> None:
    connection = await at(32)
    owner = await insert(connection, "db_dbnode")
    for before, _ in JSON_0033:
        computer = await insert(
            connection, "db_dbcomputer", name=before, metadata=before, transport_params=before
        )
        await insert(
            connection, "db_dbauthinfo", dbcomputer_id=computer, metadata=before, auth_params=before
        )
        await insert(connection, "db_dblog", dbnode_id=owner, metadata=before)

    await changes_by(connection, 33)

    for table, name in (
        ("db_dbcomputer", "metadata"),
        ("db_dbcomputer", "transport_params"),
        ("db_dbauthinfo", "metadata"),
        ("db_dbauthinfo", "auth_params"),
        ("db_dblog", "metadata"),
    ):
        assert await column(connection, table, name) == [after for _, after in JSON_0033]


@pytest.mark.parametrize("text", ["", "{'a': 1}", '{"a": \\u0000}', '"\\u0000"', "{} {}", "NaNs"])
async def test_0033_refuses_text_that_is_no_json(at: At, text: str) -> None:
    connection = await at(32)
    owner = await insert(connection, "db_dbnode")
    for metadata in (text, text, "{}"):
        await insert(connection, "db_dblog", dbnode_id=owner, metadata=metadata)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await run_step(connection, 33)

    message = "table db_dblog has 2 rows with text that is not valid JSON in metadata"
    assert message in str(refused.value)
    assert await column(connection, "db_dblog", "metadata") == [text, text, "{}"]
