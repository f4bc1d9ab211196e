"""What a check finds in databases of the sqlalchemy line, and that a migration ends thereafter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import aiidadb
from aiidadb.migration.checks.catalogue import KINDS
from tests.helpers.databases import fetchval, run_script
from tests.helpers.migrating import opened
from tests.helpers.old_database import state_of
from tests.helpers.real_databases import load_dump, unpack
from tests.helpers.single_steps import database_at
from tests.helpers.sqlalchemy_database import make_first_database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


def two_nodes(number: int) -> str:
    """A script that makes them, and a user, after a revision."""
    user = ("email, is_superuser", "'a@b', false") if number < 35 else ("email", "'a@b'")
    more = (", repository_metadata", ", '{}'") if number > 44 else ("", "")
    return f"""
        insert into db_dbuser (id, {user[0]}) values (1, {user[1]});
        insert into db_dbnode (id, uuid, {"type" if number < 30 else "node_type"}, user_id{more[0]})
        values
            (1, gen_random_uuid(), 'data.dict.Dict.', 1{more[1]}),
            (2, gen_random_uuid(), 'data.dict.Dict.', 1{more[1]});
    """


@dataclass(frozen=True)
class Fault:
    """Something in a database of a revision, what it is found as, and what mends it.

    Attributes:
        number: The revision's place.
        code: The finding's.
        script: Puts it in.
        remedy: Mends it; None where nothing has to be done.
        pks: The rows that are found.
    """

    number: int
    code: str
    script: str
    remedy: str | None = None
    pks: tuple[int, ...] = (1, 2)


GROUPS = "insert into db_dbgroup (id, user_id, {}) values"
FAULTS = {
    "doubled memberships": Fault(
        5,
        "doubled_membership",
        f"{GROUPS.format('name')} (1, 1, 'g'); insert into db_dbgroup_dbnodes "
        "(id, dbgroup_id, dbnode_id) values (1, 1, 1), (2, 1, 2), (3, 1, 1)",
        pks=(3,),
    ),
    "one uuid of two nodes": Fault(
        11,
        "repeated_node_uuid",
        "update db_dbnode set uuid = '11111111-1111-4111-8111-111111111111'",
        "update db_dbnode set uuid = gen_random_uuid() where id = 1",
    ),
    "one uuid of two groups": Fault(
        24,
        "repeated_uuid",
        f"{GROUPS.format('label, uuid')} (1, 1, 'a', '11111111-1111-4111-8111-111111111111'), "
        "(2, 1, 'b', '11111111-1111-4111-8111-111111111111'), (3, 1, 'c', null), (4, 1, 'd', null)",
        "update db_dbgroup set uuid = null where id = 1",
    ),
    "links that cannot be": Fault(
        2,
        "removed_link",
        "update db_dbnode set type = 'calculation.job.JobCalculation.'; insert into db_dblink "
        "(id, input_id, output_id, label, type) values (1, 1, 2, 'a', 'calllink')",
        pks=(1,),
    ),
    "groups renamed to one": Fault(
        18,
        "group_label_clash",
        f"{GROUPS.format('label, type_string')} (1, 1, 'g', ''), (2, 1, 'g', 'user')",
        "update db_dbgroup set label = 'h' where id = 2",
        (2,),
    ),
    "groups without a type": Fault(
        45,
        "group_label_clash",
        "insert into db_dbgroup (id, user_id, label, type_string, extras) values "
        "(1, 1, 'g', null, '{}'), (2, 1, 'g', 'core', '{}'), (3, 1, null, null, '{}'), "
        "(4, 1, null, null, '{}')",
        "update db_dbgroup set label = 'h' where id = 2",
        (2,),
    ),
    "logs of nothing": Fault(
        20,
        "departing_log",
        "insert into db_dblog (id, objname, objpk) values (1, null, null), (2, 'node.', 9), "
        "(3, null, 1)",
    ),
    "links without a type that can be told": Fault(
        1,
        "missing_value",
        "update db_dbnode set type = 'calculation.job.JobCalculation.' where id = 2; "
        "insert into db_dblink (id, input_id, output_id, label) values "
        "(1, 1, 1, 'a'), (2, 2, 2, 'b'), (3, 1, 2, 'c'), (4, 2, 1, 'd')",
        "delete from db_dblink where id < 3",
    ),
    "links without a type": Fault(
        3,
        "missing_value",
        "insert into db_dblink (id, input_id, output_id, label) values "
        "(1, 1, 2, 'a'), (2, 2, 1, 'b')",
        "update db_dblink set type = 'inputlink'",
    ),
    "links that lead nowhere": Fault(
        40,
        "missing_value",
        "insert into db_dblink (id, input_id, label, type) values (1, 1, 'a', 'create'), "
        "(2, 1, 'b', 'create')",
        "delete from db_dblink",
    ),
    "nodes without a type": Fault(
        29,
        "missing_value",
        "update db_dbnode set type = null",
        "update db_dbnode set type = 'data.dict.Dict.'",
    ),
    "groups without a user": Fault(
        30,
        "missing_value",
        "insert into db_dbgroup (id, label) values (1, 'a'), (2, 'b')",
        "update db_dbgroup set user_id = 1",
    ),
    "memberships of nothing": Fault(
        36,
        "missing_key",
        f"{GROUPS.format('label')} (1, 1, 'g'); insert into db_dbgroup_dbnodes "
        "(id, dbgroup_id, dbnode_id) values (1, 1, null), (2, null, 1), (3, 1, 1)",
    ),
    "comments of nobody": Fault(
        10,
        "missing_key",
        "insert into db_dbcomment (id, dbnode_id, user_id) values (1, 1, null), (2, null, 1), "
        "(3, 1, 1)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_each_fault_is_found_before_the_first_change_and_can_be_remedied(
    databases: Databases, tmp_path: Path, fault: Fault
) -> None:
    dsn = await database_at(databases, fault.number, "sqlalchemy")
    await run_script(dsn, two_nodes(fault.number) + fault.script)
    kind = KINDS[fault.code]
    options = {"export_directory": tmp_path / "exports", "without_repository": True}
    async with opened(dsn) as backend:
        (finding,) = (await backend.schema.check(without_repository=True)).findings
        assert (finding.code, finding.action, finding.pks) == (fault.code, kind.action, fault.pks)
        if kind.action == "exported":
            report = await backend.schema.migrate(**options)
            assert finding in report.findings
            written = [json.loads(path.read_text("utf-8")) for path in report.files]
            assert sum(len(rows) for rows in written) == len(fault.pks)
        else:
            before = await state_of(dsn)
            with pytest.raises(aiidadb.StorageMigrationError, match=fault.code):
                await backend.schema.migrate(**options)
            assert await state_of(dsn) == before
            assert fault.remedy is not None
            await run_script(dsn, fault.remedy)
            report = await backend.schema.migrate(**options)
        assert str(report.version) == "main_0002"
    await databases.drop(dsn)


@pytest.mark.parametrize(
    ("revision", "leaving"),
    [
        ("7a6587e16f4c", {"departing_log", "old_workflow"}),
        ("041a79fc615f", {"old_workflow"}),
        ("1830c8430131", set()),
    ],
)
async def test_a_check_of_a_genuine_database_refuses_nothing(
    databases: Databases, tmp_path: Path, revision: str, leaving: set[str]
) -> None:
    dsn = await load_dump(databases, "legacy_sqla/1_aiida-0.12.5_7a6587e16f4c")
    repository = unpack("legacy_sqla/repository_aiida-0.12.5", tmp_path / "files")
    async with opened(dsn, repository) as backend:
        await backend.schema.migrate(revision)
        before = await state_of(dsn)
        check = await backend.schema.check()
        assert await state_of(dsn) == before
        assert {finding.code for finding in check.findings} == leaving
        assert check.exported == check.findings
    await databases.drop(dsn)


async def test_a_check_finds_trajectories_whose_files_are_missing(
    databases: Databases, tmp_path: Path
) -> None:
    first = await make_first_database(databases, tmp_path / "files")
    for path in first.repository.rglob("symbols.npy"):
        path.unlink()
    async with opened(first.dsn, first.repository) as backend:
        (finding,) = (await backend.schema.check()).refused
        assert (finding.code, finding.step, finding.pks) == (
            "missing_symbols", "26_12536798d4d3_trajectory_symbols_to_attribute", (3,),
        )  # fmt: skip
    assert await fetchval(first.dsn, "select to_regclass('alembic_version')") is None
