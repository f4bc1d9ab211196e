"""What a check finds in a genuine database, and that a migration ends after the remedy."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import aiidadb
from aiidadb.migration.checks.catalogue import KINDS
from tests.helpers.databases import connected, fetchval, run_script
from tests.helpers.migrating import opened
from tests.helpers.old_database import state_of
from tests.helpers.real_databases import load_dump, unpack

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
        "update db_dbnode set uuid = (select upper(uuid) from db_dbnode where id = 1) where id = 2",
        2,
        "update db_dbnode set uuid = gen_random_uuid() where id = 2",
    ),
    "group uuid without dashes": Fault(
        "repeated_uuid",
        "insert into db_dbgroup (uuid, name, type, time, description, user_id) "
        "select replace(min(uuid), '-', ''), 'mine', '', now(), '', min(user_id) from db_dbgroup",
        2,
        "update db_dbgroup set uuid = gen_random_uuid() where name = 'mine'",
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
        "select gen_random_uuid(), 'mine', kind, now(), '', min(id) "
        "from db_dbuser, unnest(array['', 'core']) as kind group by kind",
        1,
        None,
    ),
    "long type": Fault(
        "long_node_type",
        "update db_dbnode set type = 'data.' || repeat('x', 249) || '.' where id = 1",
        1,
        "update db_dbnode set type = 'data.folder.FolderData.' where id = 1",
    ),
    "empty metadata of a computer": Fault(
        "malformed_json",
        "update db_dbcomputer set metadata = '' where id = (select min(id) from db_dbcomputer)",
        1,
        "update db_dbcomputer set metadata = '{}' where metadata = ''",
    ),
    "metadata of logs that is no JSON": Fault(
        "malformed_json",
        "update db_dblog set metadata = '{' where objname like 'node.%' "
        "and exists (select from db_dbnode as node where node.id = objpk)",
        -1,
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
        f"{ATTRIBUTE} (1, 'l', 'list', 1, ''), (1, 'l.0', 'int', 1, ''), (1, 'l.1', 'int', 1, '')",
        1,
        "delete from db_dbattribute where key = 'l.1'",
    ),
    "item with another's place": Fault(
        "misplaced_attribute",
        f"{ATTRIBUTE} (1, 'l', 'list', 2, ''), (1, 'l.0', 'int', 1, ''), (1, 'l.7', 'int', 1, '')",
        1,
        "update db_dbattribute set key = 'l.1' where key = 'l.7'",
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
    "node whose user is gone": Fault(
        "missing_owner",
        f"{WITHOUT_TRIGGERS} update db_dbnode set user_id = 4711 where id in (3, 4)",
        2,
        "update db_dbnode set user_id = (select min(id) from db_dbuser) where user_id = 4711",
    ),
    "node whose computer is gone": Fault(
        "missing_owner",
        f"{WITHOUT_TRIGGERS} update db_dbnode set dbcomputer_id = 4711 where id = 3",
        1,
        "update db_dbnode set dbcomputer_id = null where dbcomputer_id = 4711",
    ),
    "link of a node that is gone": Fault(
        "orphan_row",
        f"{WITHOUT_TRIGGERS} insert into db_dblink (input_id, output_id, label, type) "
        "values (99999, 1, 'a', 'inputlink'), (1, 99999, 'b', 'inputlink')",
        2,
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
    databases: Databases, directory: Path, script: str = ""
) -> AsyncIterator[tuple[aiidadb.Backend, str]]:
    """The genuine database of AiiDA 0.12.5 with its files, and something put in."""
    dsn = await load_dump(databases, GENUINE)
    repository = unpack("legacy/repository_aiida-0.12.5", directory / "repository")
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
    async with genuine(databases, tmp_path) as (backend, dsn):
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


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_each_fault_is_found_before_the_first_change_and_can_be_remedied(
    databases: Databases, tmp_path: Path, fault: Fault
) -> None:
    kind = KINDS[fault.code]
    async with genuine(databases, tmp_path, fault.script) as (backend, dsn):
        check = await backend.schema.check()
        (finding,) = [found for found in check.findings if found.code not in LEAVING]
        assert (finding.code, finding.action) == (fault.code, kind.action)
        assert finding.count == fault.count or (fault.count < 0 < finding.count)
        assert 0 < len(finding.pks) <= 10
        assert str(finding.count) in finding.message
        assert kind.aiida in finding.message
        target = f"1.0.{kind.steps[-1]}"  # no further than what is at stake
        options = {"export_directory": tmp_path / "exports"}
        if kind.action == "exported":
            report = await backend.schema.migrate(target, **options)
            assert finding in report.findings
            assert any(str(finding.count) in note for note in report.notes)
            kept = [path for path in report.files if path.name.startswith(("lost", "orphaned"))]
            assert len(json.loads(kept[0].read_text())) == finding.count
        else:
            with pytest.raises(aiidadb.StorageMigrationError, match=fault.code):
                await backend.schema.migrate(target, **options)
            assert str(await backend.schema.get_schema_version_database()) == "1.0.8"
            if kind.action == "repairable":
                report = await backend.schema.migrate(target, repair=True, **options)
                assert (report.steps[0].name, report.steps[0].rows) == ("repair", finding.count)
            else:
                async with connected(dsn) as connection:
                    await connection.execute(fault.remedy or finding.remedy)
                report = await backend.schema.migrate(target, **options)
        assert str(report.version) == target


async def test_what_is_repaired_keeps_its_text(databases: Databases, tmp_path: Path) -> None:
    fault = FAULTS["metadata that JSONB cannot hold"]
    async with genuine(databases, tmp_path, fault.script) as (backend, dsn):
        await backend.schema.migrate("1.0.33", repair=True, without_repository=True)
        kept = await fetchval(dsn, "select min(metadata ->> 'a') from db_dbcomputer")
        assert kept == "\\u0000 \U0001f600 \\u0000 \\ud83d"


async def test_a_dry_run_repairs_nothing_for_good(databases: Databases, tmp_path: Path) -> None:
    fault = FAULTS["metadata that JSONB cannot hold"]
    async with genuine(databases, tmp_path, fault.script) as (backend, dsn):
        before = await state_of(dsn)
        report = await backend.schema.migrate("1.0.33", repair=True, dry_run=True)
        assert report.steps[0].name == "repair"
        assert await state_of(dsn) == before


async def test_all_that_is_in_the_way_is_told_at_once(databases: Databases, tmp_path: Path) -> None:
    scripts = [
        FAULTS[name].script
        for name in ("no uuid", "float without a number", "node whose computer is gone")
    ]
    async with genuine(databases, tmp_path, ";".join(scripts)) as (backend, _):
        with pytest.raises(aiidadb.StorageMigrationError) as refused:
            await backend.schema.migrate()
        assert "3 findings" in str(refused.value)
        assert len(refused.value.__notes__) == 3
        codes = [note.partition(":")[0] for note in refused.value.__notes__]
        assert codes == ["malformed_uuid", "impossible_value", "missing_owner"]


async def test_numbers_for_keys_of_a_dict_are_nothing_to_find(
    databases: Databases, tmp_path: Path
) -> None:
    script = (
        f"{ATTRIBUTE} (1, 'd', 'dict', 2, ''), (1, 'd.7', 'int', 1, ''), (1, 'd.x', 'int', 1, '')"
    )
    async with genuine(databases, tmp_path, script) as (backend, _):
        check = await backend.schema.check()
        assert {finding.code for finding in check.findings} <= LEAVING


async def test_ids_are_those_of_the_finding(databases: Databases, tmp_path: Path) -> None:
    fault = FAULTS["node whose user is gone"]
    async with genuine(databases, tmp_path, fault.script) as (backend, _):
        (finding,) = (await backend.schema.check()).refused
        assert finding.pks == (3, 4)
        assert finding.step.startswith("0050_")
        assert re.search(r"db_dbnode\.user_id.*4711", finding.message)
