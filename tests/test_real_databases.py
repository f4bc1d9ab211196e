"""The databases in ``tests/data`` are what their README says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.helpers.comparison import differences
from tests.helpers.real_databases import load_dump, load_schema

if TYPE_CHECKING:
    from tests.helpers.databases import Databases


@pytest.mark.parametrize(
    ("dump", "nodes"),
    [
        ("legacy/1_aiida-0.6.0_django_0002", 10),
        ("legacy/1_aiida-0.7.0_django_0003", 10),
        ("legacy/1_aiida-0.8.1_django_0004", 14),
        ("legacy/1_aiida-0.9.1_django_0004", 14),
        ("legacy/1_aiida-0.12.5_django_0008", 288),
        ("legacy/2_after_aiida-1.6.9_django_0045", 288),
        ("legacy/3_after_aiida-2.9.4_main_0002", 288),
        ("legacy_sqla/1_aiida-0.7.1_e15ef2630a1b", 7),
        ("legacy_sqla/1_aiida-0.8.1_e15ef2630a1b", 10),
        ("legacy_sqla/1_aiida-0.9.1_e15ef2630a1b", 10),
        ("legacy_sqla/1_aiida-0.10.1_89176227b25", 10),
        ("legacy_sqla/1_aiida-0.11.4_35d4ee9a1b0e", 10),
        ("legacy_sqla/1_aiida-0.12.5_7a6587e16f4c", 251),
        ("legacy_sqla/2_after_aiida-1.6.9_0edcdd5a30f0", 251),
        ("legacy_sqla/3_after_aiida-2.9.4_main_0002", 251),
    ],
)
async def test_a_dump_loads_with_all_its_nodes(databases: Databases, dump: str, nodes: int):
    dsn = await load_dump(databases, dump)
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval("select count(*) from db_dbnode") == nodes
    finally:
        await connection.close()
        await databases.drop(dsn)


async def test_the_lines_of_both_backends_end_in_one_schema(databases: Databases):
    django = await load_schema(databases, "django_0050")
    sqlalchemy = await load_schema(databases, "sqlalchemy_51_1de112340b18")
    assert await differences(django, sqlalchemy, names=True) == []
    for made in (django, sqlalchemy):
        await databases.drop(made)


@pytest.mark.quick
async def test_what_differs_is_told_row_by_row(databases: Databases):
    ours, theirs = [
        await load_dump(databases, "legacy/3_after_aiida-2.9.4_main_0002") for _ in range(2)
    ]
    connection = await asyncpg.connect(ours)
    await connection.execute("update db_dbnode set label = 'other' where id = 1")
    await connection.execute("insert into db_dbuser values (77, 'new@epfl.ch', '', '', '')")
    await connection.execute("alter table db_dbgroup add column spare int")
    # The same setting, written again by another migration.
    await connection.execute(
        """
        update db_dbsetting set id = 77, val = '"new"' where key = 'repository|uuid'
        """
    )
    await connection.close()
    found = await differences(ours, theirs)
    assert [line.split(":")[0] for line in found] == [
        "db_dbgroup",
        "db_dbnode[1].label",
        "db_dbsetting[repository|uuid].id",
        "db_dbsetting[repository|uuid].val",
        "db_dbuser[77]",
    ]
    ignored = ["db_dbnode.label", "db_dbsetting[repository|uuid].val"]
    assert await differences(ours, theirs, ignored=ignored) == [found[0], found[2], found[4]]
    for made in (ours, theirs):
        await databases.drop(made)
