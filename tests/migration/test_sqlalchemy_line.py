"""The line of AiiDA's old SQLAlchemy backend: what it is known by, and its way to AiiDA 2.x."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import aiidadb
from aiidadb import SchemaVersion
from aiidadb.exceptions import (
    IncompatibleStorageSchema,
    InvalidInputError,
    StorageMigrationError,
)
from aiidadb.migration.repository import container
from aiidadb.migration.steps import STEPS
from tests.helpers.aiida_process import migrate_by_aiida, run_aiida
from tests.helpers.aiida_reading import READ_IT_ALL, files_before, give_aiida_a_profile
from tests.helpers.choices import some_of
from tests.helpers.comparison import differences
from tests.helpers.databases import fetchval, run_script
from tests.helpers.migrating import migrate, opened, refused_and_left
from tests.helpers.old_database import OldDatabase, make_sqlalchemy_database
from tests.helpers.real_databases import load_dump, load_schema
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")

HEAD = "0edcdd5a30f0"
CHAIN = [version for version in STEPS if version.line == "sqlalchemy"]
MTIMES = "select json_object_agg(uuid, mtime order by uuid)::text from db_dbnode"
SETTING = "select val::text from db_dbsetting where key = 'db|schemaversion'"
REVISION = "select array_agg(version_num)::text from alembic_version"


@pytest.fixture
async def genuine(databases: Databases, tmp_path: Path) -> OldDatabase:
    """What AiiDA 0.12.5 made and 1.6.9 migrated to the head of its line."""
    return await make_sqlalchemy_database(databases, tmp_path / "files")


@pytest.fixture
async def head(databases: Databases) -> str:
    """A database at the head of the line, without a node; gives its DSN."""
    return await database_at(databases, 44, "sqlalchemy")


# ------------------------------------------------------------------ each step beside AiiDA's


@pytest.mark.parametrize("version", some_of(CHAIN[1:], CHAIN[10::10]), ids=str)
async def test_after_each_step_the_schema_is_what_aiida_makes_of_it(
    databases: Databases, version: SchemaVersion
) -> None:
    dsn = await database_at(databases, version.number - 1, "sqlalchemy")
    await migrate(dsn, str(version))
    theirs = await load_schema(databases, version.schema_name)
    # What is renamed with its column keeps its name up to the last step.
    assert await differences(dsn, theirs, names=version.number == 51, content=False) == []
    assert await fetchval(dsn, REVISION) == f"{{{version}}}"
    for made in (dsn, theirs):
        await databases.drop(made)


async def test_the_line_ends_where_the_other_one_does(databases: Databases, head: str) -> None:
    await migrate(head)
    theirs = await load_schema(databases, "main_0002")
    assert await differences(head, theirs, names=True, content=False) == []
    assert await fetchval(head, REVISION) == "{main_0002}"
    assert await fetchval(head, SETTING) is None
    await databases.drop(theirs)


# ------------------------------------------------------------------ a real database


async def test_a_real_database_comes_out_as_aiida_left_it(
    genuine: OldDatabase, databases: Databases
) -> None:
    mtimes = await fetchval(genuine.dsn, MTIMES)
    setting = await fetchval(genuine.dsn, SETTING)
    theirs = await load_dump(databases, "legacy_sqla/3_after_aiida-2.9.4_main_0002")
    report = await migrate(genuine.dsn, repository=genuine.repository)
    assert [str(step.version) for step in report.steps] == [
        *map(str, CHAIN[44:]), "main_0001", "main_0002",
    ]  # fmt: skip
    assert await fetchval(genuine.dsn, MTIMES) == mtimes
    assert await fetchval(genuine.dsn, SETTING) == setting
    # The id of the container is a new one for each that is made.
    (difference,) = await differences(genuine.dsn, theirs, names=True)
    assert str(container.read_container_id(genuine.repository)) in difference
    await databases.drop(theirs)


async def test_aiida_opens_and_reads_a_real_database_after_the_whole_way(
    genuine: OldDatabase, tmp_path: Path
) -> None:
    await migrate(genuine.dsn, repository=genuine.repository)
    give_aiida_a_profile(tmp_path / "home", genuine.dsn, genuine.repository)
    told, logs, unreferenced, valid, objects = json.loads(
        await run_aiida(READ_IT_ALL, tmp_path / "home")
    )
    assert len(told) == 251
    assert logs == await fetchval(genuine.dsn, "select count(*) from db_dblog")
    assert (unreferenced, valid) == ([], True)
    assert objects > 0
    files = {uuid: facts[3] for uuid, facts in told.items() if facts[3]}
    # The symbols of trajectories went with 1.6.9; those here are arrays of that name.
    before = files_before(genuine.repository, spent=())
    assert files == {uuid: of_node for uuid, of_node in before.items() if of_node}


# ------------------------------------------------------------------ nulls

NULLS = """
    insert into db_dbuser (id) values (1), (2);
    insert into db_dbcomputer (id, name) values (1, 'a');
    insert into db_dbnode (id, user_id, node_type, attributes, extras)
    values (1, 1, 'data.dict.Dict.', '{}', '{}'), (2, 1, 'data.dict.Dict.', '{}', '{}');
    insert into db_dbgroup (id, user_id, extras) values (1, 1, '{}'), (2, 1, '{}');
    insert into db_dbgroup_dbnodes (id, dbgroup_id, dbnode_id)
    values (1, 1, 1), (2, 1, null), (3, null, 1);
    insert into db_dbcomment (id, dbnode_id, user_id) values (1, 1, 1), (2, null, 1), (3, 1, null);
    insert into db_dbauthinfo (id, aiidauser_id, dbcomputer_id, auth_params)
    values (1, 1, 1, 'null'), (2, null, 1, null), (3, 1, null, null);
    insert into db_dblog (id, dbnode_id, metadata, levelname)
    values (1, 1, 'null', repeat('x', 60)), (2, 1, null, null);
    insert into db_dbsetting (id, key, description) values (1, 'a', '')
"""


async def test_what_is_null_gets_what_aiida_gives_it(head: str, tmp_path: Path) -> None:
    await run_script(head, NULLS)
    async with opened(head) as backend:
        check = await backend.schema.check()
    assert {
        (found.code, found.message.partition(":")[0], found.action): found.pks
        for found in check.findings
        if found.code in ("missing_key", "long_level", "missing_value")
    } == {
        ("missing_key", "db_dbauthinfo", "exported"): (2, 3),
        ("missing_key", "db_dbcomment", "exported"): (2, 3),
        ("missing_key", "db_dbgroup_dbnodes", "exported"): (2, 3),
        ("long_level", "db_dblog", "exported"): (1,),
    }
    report = await migrate(head, export_directory=tmp_path / "exports")
    levels, orphans = (json.loads(path.read_text("utf-8")) for path in report.files)
    assert [(row["table"], row["reason"], row["row"]["levelname"]) for row in levels] == [
        ("db_dblog", "long_level", "x" * 60)
    ]
    assert [(row["table"], row["reason"], row["row"]["id"]) for row in orphans] == [
        ("db_dbgroup_dbnodes", "no_node", 2),
        ("db_dbgroup_dbnodes", "no_group", 3),
        ("db_dbcomment", "no_node", 2),
        ("db_dbcomment", "no_user", 3),
        ("db_dbauthinfo", "no_user", 2),
        ("db_dbauthinfo", "no_computer", 3),
    ]
    row = """
        select array[
            (select string_agg(id::text, ',') from db_dbgroup_dbnodes),
            (select string_agg(id::text || content, ',') from db_dbcomment),
            (select string_agg(id::text || enabled || auth_params || metadata, ',')
             from db_dbauthinfo),
            (select string_agg(levelname || loggername || message || metadata, ',' order by id)
             from db_dblog),
            (select string_agg(label || description, ',') from db_dbnode),
            (select string_agg(type_string || description, ',') from db_dbgroup),
            (select string_agg(first_name || last_name || institution, ',') from db_dbuser),
            (select hostname || description || scheduler_type || transport_type || metadata
             from db_dbcomputer)
        ]::text[]
    """
    assert await fetchval(head, row) == [
        "1", "1", "1true{}{}", f"{'x' * 50}{{}},{{}}", ",", "core,core", ",", "{}",
    ]  # fmt: skip
    for unique in (
        "select count(distinct uuid) from db_dbnode",
        "select count(distinct label::uuid) from db_dbgroup",
        "select count(distinct email::uuid) from db_dbuser",
    ):
        assert await fetchval(head, unique) == 2


@pytest.mark.parametrize(
    "row",
    [
        "insert into db_dblink (input_id, output_id, label) values (1, 2, 'a')",
        "insert into db_dblink (input_id, label, type) values (1, 'a', 'create')",
        "update db_dbnode set node_type = null where id = 1",
        "update db_dbgroup set user_id = null where id = 1",
    ],
)
async def test_what_has_no_value_that_could_be_made_up_is_refused(head: str, row: str) -> None:
    await run_script(head, f"{NULLS}; {row}")
    with pytest.raises(StorageMigrationError, match=r"missing_value.*Nothing was changed"):
        await migrate(head)
    assert await fetchval(head, REVISION) == f"{{{HEAD}}}"


async def test_nodes_get_a_uuid_before_their_files_are_moved(head: str) -> None:
    await run_script(head, NULLS)
    await migrate(head, "7536a82b2cc4")
    uuids = "select array_agg(uuid::text order by id) from db_dbnode"
    given = await fetchval(head, uuids)
    assert len(set(given)) == 2
    await migrate(head)
    assert await fetchval(head, uuids) == given


# ------------------------------------------------------------------ versions


async def test_the_head_of_the_line_is_served_as_it_is(genuine: OldDatabase) -> None:
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(genuine.dsn)) as backend:
        assert str(backend.version) == HEAD
        await backend.schema.validate_schema()
        assert str(await backend.schema.get_schema_version_code()) == HEAD
        assert not await backend.schema.is_database_schema_ahead()
        nodes = await backend.queries.get_creation_statistics()
        assert nodes["total"] == 251
        assert await backend.queries.get_bands_and_parents_structure(all_users=True) != []


@pytest.mark.parametrize(
    ("version", "code"),
    [("0edcdd5a30f0", HEAD), ("7536a82b2cc4", "main_0002"), ("1de112340b18", "main_0002")],
)
async def test_a_database_on_its_way_belongs_at_the_head_of_main(
    databases: Databases, version: str, code: str
) -> None:
    dsn = await database_at(databases, SchemaVersion.parse(version).number, "sqlalchemy")
    async with opened(dsn) as backend:
        assert str(await backend.schema.get_schema_version_database()) == version
        assert str(await backend.schema.get_schema_version_code()) == code
        assert not await backend.schema.is_database_schema_ahead()
        if version != code:
            with pytest.raises(IncompatibleStorageSchema, match="behind"):
                await backend.schema.validate_schema()
    await databases.drop(dsn)


async def test_a_database_that_noted_no_version_is_at_the_first_revision(
    databases: Databases,
) -> None:
    dsn = await load_schema(databases, "sqlalchemy_01_e15ef2630a1b")
    await run_script(
        dsn,
        """
        insert into db_dbsetting (key, val, description)
        values ('db|schemaversion', '0.1', ''), ('db|backend', '"sqlalchemy"', '')
        """,
    )
    async with opened(dsn) as backend:
        assert str(await backend.schema.get_schema_version_database()) == "e15ef2630a1b"
        with pytest.raises(InvalidInputError, match=r"main_0001 is .* sqlalchemy line"):
            await backend.schema.set_schema_version_database("main_0001")
        await backend.schema.set_schema_version_database("e15ef2630a1b")
    assert await fetchval(dsn, REVISION) == "{e15ef2630a1b}"
    assert await fetchval(dsn, SETTING) == "0.1"
    await databases.drop(dsn)


async def test_setting_a_version_writes_the_revision_alone(head: str) -> None:
    async with opened(head) as backend:
        await backend.schema.set_schema_version_database("bf591f31dd12")
        assert str(await backend.schema.get_schema_version_database()) == "bf591f31dd12"
        with pytest.raises(InvalidInputError, match=r"1\.0\.45 is of the django line"):
            await backend.schema.set_schema_version_database("1.0.45")
    assert await fetchval(head, REVISION) == "{bf591f31dd12}"
    assert await fetchval(head, SETTING) is None


async def test_a_database_of_django_gets_no_revision(django_dsn: str) -> None:
    async with opened(django_dsn) as backend:
        with pytest.raises(InvalidInputError, match="is of the sqlalchemy line"):
            await backend.schema.set_schema_version_database(HEAD)


async def test_there_is_no_way_between_the_two_lines(head: str, django_dsn: str) -> None:
    with pytest.raises(InvalidInputError, match=r"neither to the other"):
        await migrate(head, "1.0.50")
    with pytest.raises(InvalidInputError, match=r"neither to the other"):
        await migrate(django_dsn, "1de112340b18")
    await run_script(head, "update alembic_version set version_num = '1de112340b16'")
    with pytest.raises(StorageMigrationError, match=f"no way back to {HEAD}"):
        await migrate(head, HEAD)


@pytest.mark.parametrize("alembic", [True, False])
async def test_a_database_that_was_turned_over_from_django_is_refused(
    databases: Databases, alembic: bool
) -> None:
    """What AiiDA 0.7's script makes: JSONB beside Django's tables and bookkeeping."""
    dsn = await database_at(databases, 2)
    await run_script(
        dsn,
        """
        alter table db_dbnode add column attributes jsonb default '{}',
            add column extras jsonb default '{}'
        """,
    )
    if alembic:
        await run_script(
            dsn,
            """
            create table alembic_version (version_num varchar(32) primary key);
            insert into alembic_version values ('e15ef2630a1b')
            """,
        )
    await refused_and_left(dsn, IncompatibleStorageSchema, "converted from Django")
    await databases.drop(dsn)


# ------------------------------------------------------------------ nulls, where it is served

BANDS_WITHOUT_ANYTHING = """
    insert into db_dbnode (id, user_id, node_type)
    values
        (11, 1, 'data.structure.StructureData.'),
        (12, 1, 'process.calculation.calcjob.CalcJobNode.'),
        (13, 1, 'data.array.bands.BandsData.'),
        (14, 1, null);
    insert into db_dblink (id, input_id, output_id, label, type)
    values (1, 11, 12, 'a', 'input_calc'), (2, 12, 13, 'b', 'create'), (3, 14, 12, 'c', null),
        (4, null, 13, 'd', 'create'), (5, 12, null, 'e', 'create');
    insert into db_dbgroup_dbnodes (id, dbgroup_id, dbnode_id) values (4, 2, 13)
"""


async def test_answers_hold_where_everything_that_may_be_null_is(head: str) -> None:
    await run_script(head, NULLS)
    await run_script(head, BANDS_WITHOUT_ANYTHING)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(head)) as backend:
        queries = backend.queries
        statistics = await queries.get_creation_statistics()
        assert statistics["total"] == 6
        assert statistics["types"]["data.dict.Dict."] == 2
        assert statistics["ctime_by_day"] == {}
        assert (await queries.get_creation_statistics(user_pk=1))["total"] == 6
        (row,) = await queries.get_bands_and_parents_structure(all_users=True)
        assert (row.pk, row.structure_pk, row.ctime, row.label) == (13, 11, None, "")
        assert row.as_strings() == ["13", row.formula, "", ""]
        assert await queries.get_bands_and_parents_structure(group_name=["a"], all_users=True) == []
        parents = await queries.get_closest_parents([13], node_type="data.structure.StructureData.")
        assert dict(parents) == {13: 11}
        assert await queries.get_all_parents([13]) != []
        for table in ("db_dbnode", "db_dbgroup", "db_dbcomment", "db_dblog", "db_dbcomputer"):
            assert await queries.get_duplicate_uuids(table) == []
        preview = await backend.preview_deletion([13, 14])
        assert set(preview.types.values()) == {1}
        await backend.delete_nodes_and_connections([13])
        setting = await backend.settings.get("a")
        assert (setting.value, setting.time) == (None, None)


# ------------------------------------------------------------------ aiida-core takes over


@pytest.mark.parametrize(
    "target",
    some_of(
        ["1de112340b16", "1de112340b17", "1de112340b18", "main_0001"],
        chosen=["1de112340b18"],
    ),
)
async def test_aiida_goes_on_from_where_we_stopped(
    genuine: OldDatabase, databases: Databases, target: str
) -> None:
    """Its own steps up to 1de112340b16 are those that it stumbles over, with pending triggers."""
    await migrate(genuine.dsn, target, repository=genuine.repository)
    await migrate_by_aiida(genuine.dsn, genuine.repository)
    theirs = await load_dump(databases, "legacy_sqla/3_after_aiida-2.9.4_main_0002")
    (difference,) = await differences(genuine.dsn, theirs, names=True)
    assert str(container.read_container_id(genuine.repository)) in difference
    await databases.drop(theirs)


async def test_what_is_too_long_for_a_setting_of_this_line_is_said(head: str) -> None:
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(head)) as backend:
        await backend.settings.set("a", {"b": 1}, "c" * 255)
        assert (await backend.settings.get("a")).description == "c" * 255
        for key, description in (("k" * 300, None), ("a", "c" * 300)):
            with pytest.raises(InvalidInputError, match="255"):
                await backend.settings.set(key, 1, description)
        assert [setting.key for setting in await backend.settings.get_all()] == ["a"]
