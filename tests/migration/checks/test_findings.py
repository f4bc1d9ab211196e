"""What a check finds in a genuine database, and that a migration ends after the remedy."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import aiidadb
from aiidadb.migration.checks.catalogue import KINDS
from tests.helpers.databases import connected, fetchval, run_script
from tests.helpers.migrating import opened
from tests.helpers.old_database import state_of
from tests.helpers.old_nodes import add_node
from tests.helpers.real_databases import load_dump, unpack
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.helpers.databases import Databases

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")

GENUINE = "legacy/1_aiida-0.12.5_django_0008"
# What the genuine database holds that leaves it, whatever is put in.
LEAVING = {"departing_log", "old_workflow", "removed_link"}
WITHOUT_TRIGGERS = "set session_replication_role = replica;"


@dataclass(frozen=True)
class Fault:
    """Something put into a database, what it is found as, and how it is mended.

    Attributes:
        code: The finding's.
        script: Puts it in.
        count: How many are found.
        remedy: Mends it; None where the finding's own remedy is a statement.
    """

    code: str
    script: str
    count: int
    remedy: str | None = ""


# The places are those of the genuine database: its nodes have the ids 1 to 288.
ATTRIBUTE = "insert into db_dbattribute (dbnode_id, key, datatype, ival, tval) values"
FAULTS = {
    "node uuid": Fault(
        "repeated_node_uuid",
        "update db_dbnode set uuid = (select uuid from db_dbnode where id = 1) where id = 2",
        2,
        "update db_dbnode set uuid = gen_random_uuid() where id = 2",
    ),
    "node uuid in capitals": Fault(
        "repeated_node_uuid",
        "update db_dbnode set uuid = (select upper(uuid) from db_dbnode where id = 5) where id = 6",
        2,
        "update db_dbnode set uuid = gen_random_uuid() where id = 6",
    ),
    "group uuid without dashes": Fault(
        "repeated_uuid",
        "insert into db_dbgroup (uuid, name, type, time, description, user_id) "
        "select replace(min(uuid), '-', ''), 'ours', '', now(), '', min(user_id) from db_dbgroup",
        2,
        "update db_dbgroup set uuid = gen_random_uuid() where name = 'ours'",
    ),
    "no uuid": Fault(
        "malformed_uuid",
        "update db_dbcomputer set uuid = 'none' where id = (select min(id) from db_dbcomputer)",
        1,
        "update db_dbcomputer set uuid = gen_random_uuid() where uuid = 'none'",
    ),
    "groups that clash at 0022": Fault(
        "group_label_clash",
        "insert into db_dbgroup (uuid, name, type, time, description, user_id) "
        "select gen_random_uuid(), 'mine', kind, now(), '', min(id) "
        "from db_dbuser, unnest(array['', 'user']) as kind group by kind",
        1,
        None,
    ),
    "groups that clash at 0044": Fault(
        "group_label_clash",
        "insert into db_dbgroup (uuid, name, type, time, description, user_id) "
        "select gen_random_uuid(), 'yours', kind, now(), '', min(id) "
        "from db_dbuser, unnest(array['', 'core']) as kind group by kind",
        1,
        None,
    ),
    "long type": Fault(
        "long_node_type",
        "update db_dbnode set type = 'data.' || repeat('x', 249) || '.' where id = 9",
        1,
        "update db_dbnode set type = 'data.folder.FolderData.' where id = 9",
    ),
    "empty metadata of a computer": Fault(
        "malformed_json",
        "update db_dbcomputer set transport_params = '' "
        "where id = (select min(id) from db_dbcomputer)",
        1,
        "update db_dbcomputer set transport_params = '{}' where transport_params = ''",
    ),
    "metadata of logs that is no JSON": Fault(
        "malformed_json",
        "update db_dblog set metadata = '{' where id = (select min(log.id) from db_dblog as log "
        "join db_dbnode as node on node.id = log.objpk where log.objname like 'node.%')",
        1,
        "update db_dblog set metadata = '{}' where metadata = '{'",
    ),
    "metadata that JSONB cannot hold": Fault(
        "unstorable_json",
        r"""update db_dbcomputer set metadata = '{"a": "\u0000 \ud83d\ude00 \\u0000 \ud83d"}' """
        "where id = (select min(id) from db_dbcomputer)",
        1,
    ),
    "attributes of a node that is gone": Fault(
        "stray_attribute",
        f"{WITHOUT_TRIGGERS} {ATTRIBUTE} (99999, 'a.b', 'int', 1, ''), (99999, 'c', 'int', 2, '')",
        2,
    ),
    "extras of a node that is gone": Fault(
        "stray_attribute",
        f"{WITHOUT_TRIGGERS} insert into db_dbextra (dbnode_id, key, datatype, ival, tval) "
        "values (99999, 'a', 'int', 1, '')",
        1,
    ),
    "attribute without its dict": Fault(
        "misplaced_attribute",
        f"{ATTRIBUTE} (1, 'nowhere.b', 'int', 1, '')",
        1,
        "delete from db_dbattribute where key = 'nowhere.b'",
    ),
    "item beyond the length of its list": Fault(
        "misplaced_attribute",
        f"{ATTRIBUTE} (2, 'l', 'list', 1, ''), (2, 'l.0', 'int', 1, ''), (2, 'l.1', 'int', 1, '')",
        1,
        "delete from db_dbattribute where dbnode_id = 2 and key = 'l.1'",
    ),
    "item with another's place": Fault(
        "misplaced_attribute",
        f"{ATTRIBUTE} (3, 'l', 'list', 2, ''), (3, 'l.0', 'int', 1, ''), (3, 'l.7', 'int', 1, '')",
        1,
        "update db_dbattribute set key = 'l.1' where dbnode_id = 3 and key = 'l.7'",
    ),
    "two spellings of a place": Fault(
        "misplaced_attribute",
        f"{ATTRIBUTE} (4, 'l', 'list', 3, ''), (4, 'l.0', 'int', 1, ''), (4, 'l.00', 'int', 1, ''),"
        " (4, 'l.3', 'int', 1, '')",
        1,
        "delete from db_dbattribute where dbnode_id = 4 and key in ('l.00', 'l.3')",
    ),
    "item of a list without a number": Fault(
        "misplaced_attribute",
        f"{ATTRIBUTE} (7, 'l', 'list', 2, ''), (7, 'l.1', 'int', 1, ''), (7, 'l.x', 'int', 1, '')",
        1,
        "update db_dbattribute set key = 'l.0' where dbnode_id = 7 and key = 'l.x'",
    ),
    "item of a list with a number of many digits": Fault(
        "misplaced_attribute",
        f"{ATTRIBUTE} (8, 'l', 'list', 1, ''), (8, 'l.00000000001', 'int', 1, '')",
        1,
        "update db_dbattribute set key = 'l.0' where dbnode_id = 8 and key like 'l.%'",
    ),
    "float without a number": Fault(
        "impossible_value",
        f"{ATTRIBUTE} (1, 'f', 'float', null, '')",
        1,
        "delete from db_dbattribute where key = 'f'",
    ),
    "unknown datatype": Fault(
        "unreadable_value", f"{ATTRIBUTE} (1, 'strange', 'complex', null, '1+2j')", 1
    ),
    "settings that are none": Fault(
        "unreadable_setting",
        "insert into db_dbsetting (key, datatype, tval, description, time) values "
        "('strange', 'complex', '1+2j', '', now()), ('no json', 'json', '{', '', now()), "
        "('json', 'json', '{}', '', now()), ('float', 'float', '', '', now())",
        3,
    ),
    "node whose user is gone": Fault(
        "missing_owner",
        f"{WITHOUT_TRIGGERS} update db_dbnode set user_id = 4711 where id in (3, 4)",
        2,
        "update db_dbnode set user_id = (select min(id) from db_dbuser) where user_id = 4711",
    ),
    "node whose computer is gone": Fault(
        "missing_owner",
        f"{WITHOUT_TRIGGERS} update db_dbnode set dbcomputer_id = 4711 where id = 5",
        1,
        "update db_dbnode set dbcomputer_id = null where dbcomputer_id = 4711",
    ),
    "link of a node that is gone": Fault(
        "orphan_row",
        f"{WITHOUT_TRIGGERS} insert into db_dblink (input_id, output_id, label, type) "
        "values (99999, 1, 'a', 'inputlink'), (1, 99999, 'b', 'inputlink')",
        2,
    ),
    "comment of a node that is gone": Fault(
        "orphan_row",
        f"{WITHOUT_TRIGGERS} insert into db_dbcomment "
        "(uuid, ctime, mtime, content, dbnode_id, user_id) "
        "select gen_random_uuid(), now(), now(), '', 99999, min(id) from db_dbuser",
        1,
    ),
    "authinfo of a computer that is gone": Fault(
        "orphan_row",
        f"{WITHOUT_TRIGGERS} insert into db_dbauthinfo "
        "(auth_params, metadata, enabled, aiidauser_id, dbcomputer_id) "
        "select '{}', '{}', true, min(id), 4711 from db_dbuser",
        1,
    ),
    "email of two users": Fault(
        "repeated_email",
        "alter table db_dbuser drop constraint db_dbuser_email_key; insert into db_dbuser (password"
        ", last_login, is_superuser, email, first_name, last_name, institution, is_staff, "
        "is_active, date_joined) select '', now(), false, email, '', '', '', false, true, now() "
        "from db_dbuser where id = (select min(id) from db_dbuser)",
        2,
        "update db_dbuser set email = 'other@example.org' "
        "where id = (select max(id) from db_dbuser)",
    ),
    "member that is gone": Fault(
        "orphan_row",
        f"{WITHOUT_TRIGGERS} insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id) "
        "select min(id), 99999 from db_dbgroup",
        1,
    ),
}


@asynccontextmanager
async def genuine(
    databases: Databases, script: str = "", repository: Path | None = None
) -> AsyncIterator[tuple[aiidadb.Backend, str]]:
    """The genuine database of AiiDA 0.12.5, and something put in; with its files if asked for."""
    dsn = await load_dump(databases, GENUINE)
    if repository is not None:
        unpack("legacy/repository_aiida-0.12.5", repository)
    try:
        if script:
            await run_script(dsn, script)
        async with opened(dsn, repository) as backend:
            yield backend, dsn
    finally:
        await databases.drop(dsn)


@pytest.mark.quick
async def test_a_check_of_a_genuine_database_refuses_nothing(
    databases: Databases, tmp_path: Path
) -> None:
    async with genuine(databases, "", tmp_path / "repository") as (backend, dsn):
        before = await state_of(dsn)
        check = await backend.schema.check()
        assert await state_of(dsn) == before
        assert {finding.code for finding in check.findings} <= LEAVING
        assert {finding.action for finding in check.findings} == {"exported"}
        assert check.exported == check.findings
        assert not check.refused
        assert not check.repairable
        later = await backend.schema.check("1.0.9")
        assert later == aiidadb.MigrationCheck()


async def test_all_faults_are_found_at_once_and_remedied(databases: Databases) -> None:
    wanted: Counter[str] = Counter()
    for fault in FAULTS.values():
        wanted[fault.code] += fault.count
    script = ";".join(fault.script for fault in FAULTS.values())
    async with genuine(databases, script) as (backend, dsn):
        check = await backend.schema.check(without_repository=True)
        found: Counter[str] = Counter()
        for finding in check.findings:
            if finding.code in LEAVING:
                continue
            kind = KINDS[finding.code]
            found[finding.code] += finding.count
            assert finding.action == kind.action
            assert 0 < len(finding.pks) <= 10
            assert f": {finding.count} " in finding.message
            assert kind.aiida in finding.message
        assert found == wanted
        with pytest.raises(aiidadb.StorageMigrationError, match="findings") as refused:
            await backend.schema.migrate(without_repository=True)
        standing = len(check.refused) + len(check.repairable)
        assert len(refused.value.__notes__) == standing
        async with connected(dsn) as connection:
            for finding in check.refused:
                remedies = {fault.remedy for fault in FAULTS.values() if fault.code == finding.code}
                for remedy in remedies:
                    await connection.execute(remedy or finding.remedy)
        left = await backend.schema.check(without_repository=True)
        assert left.refused == ()
        assert left.repairable == check.repairable
        assert left.exported == check.exported


@pytest.mark.thorough
async def test_a_database_with_every_fault_is_migrated_after_the_remedies(
    databases: Databases, tmp_path: Path
) -> None:
    script = ";".join(fault.script for fault in FAULTS.values())
    async with genuine(databases, script) as (backend, dsn):
        check = await backend.schema.check(without_repository=True)
        async with connected(dsn) as connection:
            for finding in check.refused:
                remedies = {fault.remedy for fault in FAULTS.values() if fault.code == finding.code}
                for remedy in remedies:
                    await connection.execute(remedy or finding.remedy)
        report = await backend.schema.migrate(
            repair=True, without_repository=True, export_directory=tmp_path
        )
        assert str(report.version) == "main_0002"


async def remedied(fault: Fault, databases: Databases, directory: Path) -> None:
    """The fault is refused, repaired or exported; then the step that it concerns goes well."""
    kind = KINDS[fault.code]
    async with genuine(databases, fault.script) as (backend, dsn):
        target = f"1.0.{kind.steps[-1]}"  # no further than what is at stake
        options = {"export_directory": directory, "without_repository": True}
        if kind.action == "exported":
            report = await backend.schema.migrate(target, **options)
            (finding,) = [found for found in report.findings if found.code == fault.code]
            assert any(str(finding.count) in note for note in report.notes)
            kept = [path for path in report.files if path.name.startswith(("lost", "orphaned"))]
            assert len(json.loads(kept[0].read_text())) == finding.count == fault.count
        else:
            with pytest.raises(aiidadb.StorageMigrationError, match=fault.code):
                await backend.schema.migrate(target, **options)
            assert str(await backend.schema.get_schema_version_database()) == "1.0.8"
            if kind.action == "repairable":
                report = await backend.schema.migrate(target, repair=True, **options)
                assert (report.steps[0].name, report.steps[0].rows) == ("repair", fault.count)
            else:
                check = await backend.schema.check(target, without_repository=True)
                (finding,) = check.refused
                async with connected(dsn) as connection:
                    await connection.execute(fault.remedy or finding.remedy)
                report = await backend.schema.migrate(target, **options)
        assert str(report.version) == target


@pytest.mark.thorough
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_each_fault_is_refused_exported_or_repaired(
    databases: Databases, tmp_path: Path, fault: Fault
) -> None:
    await remedied(fault, databases, tmp_path)


@pytest.mark.parametrize("name", ["no uuid", "settings that are none"])
async def test_a_fault_is_refused_or_exported(
    databases: Databases, tmp_path: Path, name: str
) -> None:
    await remedied(FAULTS[name], databases, tmp_path)


async def test_what_is_repairable_is_refused_or_repaired_and_keeps_its_text(
    databases: Databases, tmp_path: Path
) -> None:
    fault = FAULTS["metadata that JSONB cannot hold"]
    options = {"without_repository": True, "export_directory": tmp_path}
    async with genuine(databases, fault.script) as (backend, dsn):
        before = await state_of(dsn)
        with pytest.raises(aiidadb.StorageMigrationError, match="unstorable_json"):
            await backend.schema.migrate("1.0.33", **options)
        report = await backend.schema.migrate("1.0.33", repair=True, dry_run=True, **options)
        assert (report.steps[0].name, report.steps[0].rows) == ("repair", 1)
        assert await state_of(dsn) == before
        report = await backend.schema.migrate("1.0.33", repair=True, **options)
        assert (report.steps[0].name, report.steps[0].rows) == ("repair", 1)
        kept = await fetchval(dsn, "select min(metadata ->> 'a') from db_dbcomputer")
        assert kept == "\\u0000 \U0001f600 \\u0000 \\ud83d"


async def test_notes_are_in_the_order_of_the_steps_with_ids_and_examples(
    databases: Databases,
) -> None:
    names = ("node whose user is gone", "float without a number", "no uuid")
    script = ";".join(FAULTS[name].script for name in names)
    async with genuine(databases, script) as (backend, _):
        with pytest.raises(aiidadb.StorageMigrationError) as refused:
            await backend.schema.migrate(without_repository=True)
        assert "3 findings" in str(refused.value)
        codes = [note.partition(":")[0] for note in refused.value.__notes__]
        assert codes == ["malformed_uuid", "impossible_value", "missing_owner"]
        finding = (await backend.schema.check(without_repository=True)).refused[-1]
        assert finding.pks == (3, 4)
        assert finding.step.startswith("0050_")
        assert re.search(r"db_dbnode\.user_id.*4711", finding.message)


async def test_numbers_for_keys_of_a_dict_are_nothing_to_find(databases: Databases) -> None:
    script = (
        f"{ATTRIBUTE} (1, 'd', 'dict', 3, ''), (1, 'd.7', 'int', 1, ''), (1, 'd.x', 'int', 1, ''), "
        "(1, 'd.007', 'int', 1, '')"
    )
    async with genuine(databases, script) as (backend, _):
        check = await backend.schema.check(without_repository=True)
        assert {finding.code for finding in check.findings} <= LEAVING


async def test_symbols_of_a_trajectory_without_their_file_are_found(
    databases: Databases, tmp_path: Path
) -> None:
    (tmp_path / "repository" / "node").mkdir(parents=True)
    async with genuine(databases) as (backend, dsn):
        query = "select count(*) from db_dbattribute where key = 'array|symbols'"
        trajectories = await fetchval(dsn, query)
        profile = aiidadb.Profile.from_dsn(dsn, repository=tmp_path)
        async with opened(profile) as with_files:
            check = await with_files.schema.check("1.0.26")
            (finding,) = check.refused
            assert (finding.code, finding.count) == ("missing_symbols", trajectories)
            assert finding.pks
        assert not (await backend.schema.check("1.0.26", without_repository=True)).refused


async def test_links_without_their_types_are_found_before_0007(databases: Databases) -> None:
    dsn = await database_at(databases, 5)
    async with connected(dsn) as connection:
        inline, _ = await add_node(connection, "calculation.inline.InlineCalculation.")
        job, _ = await add_node(connection, "calculation.job.JobCalculation.")
        data, _ = await add_node(connection, "data.base.Int.")
        for source, label in ((inline, "kept"), (job, "removed")):
            await connection.execute(
                "insert into db_dblink (input_id, output_id, label, type) "
                "values ($1, $2, $3, 'returnlink')",
                source,
                data,
                label,
            )
    async with opened(dsn) as backend:
        check = await backend.schema.check("1.0.20", without_repository=True)
        (finding,) = check.findings
        assert (finding.code, finding.count, finding.action) == ("removed_link", 1, "exported")
        report = await backend.schema.migrate("1.0.20", without_repository=True)
        (path,) = report.files
        assert len(json.loads(path.read_text())) == 1
    await databases.drop(dsn)


async def test_logs_of_nodes_that_are_gone_are_exported_after_0024(databases: Databases) -> None:
    dsn = await database_at(databases, 49)
    async with connected(dsn) as connection:
        await connection.execute(WITHOUT_TRIGGERS)
        await connection.execute(
            "insert into db_dblog (uuid, time, loggername, levelname, message, metadata, dbnode_id)"
            " values (gen_random_uuid(), now(), '', '', '', '{}', 99999)"
        )
    async with opened(dsn) as backend:
        check = await backend.schema.check("1.0.50", without_repository=True)
        (finding,) = check.findings
        assert (finding.code, finding.count, finding.action) == ("orphan_row", 1, "exported")
        assert finding.message.startswith("db_dblog")
        report = await backend.schema.migrate("1.0.50", without_repository=True)
        (path,) = report.files
        assert len(json.loads(path.read_text())) == 1
    await databases.drop(dsn)


async def test_logs_that_aiida_left_within_0024_are_looked_at_as_they_are(
    databases: Databases,
) -> None:
    dsn = await database_at(databases, 24)
    await run_script(
        dsn,
        "drop table if exists alembic_version;"
        "create table alembic_version (version_num varchar(32) primary key);"
        "insert into alembic_version values ('django_0024a');"
        "delete from django_migrations where name like '0024%';"
        f"{WITHOUT_TRIGGERS}"
        "insert into db_dblog (uuid, time, loggername, levelname, message, metadata, dbnode_id)"
        " values (gen_random_uuid(), now(), '', '', '', '{', 99999)",
    )
    async with opened(dsn) as backend:
        check = await backend.schema.check(without_repository=True)
        assert {(one.code, one.count) for one in check.findings} == {
            ("malformed_json", 1),
            ("orphan_row", 1),
        }
    await databases.drop(dsn)
