"""What AiiDA 2.0 renamed is found in databases of both lines, in either spelling."""

from __future__ import annotations

import pytest
from pypika import Query

from aiidadb import nodes
from aiidadb.tables import computers
from tests.helpers.databases import connected
from tests.helpers.table_rows import insert

PROCESSES = ("aiida.calculations:arithmetic.add", "aiida.calculations:core.arithmetic.add")
SCHEDULERS = ("slurm", "core.slurm")


@pytest.fixture
async def filled(backend, head_dsn):
    """A backend with a process and a computer, spelled as their line does."""
    new = backend.version.line == "main"
    async with connected(head_dsn) as connection:
        await insert(connection, "db_dbnode", process_type=PROCESSES[new], label="mine")
        await insert(
            connection,
            "db_dbcomputer",
            **{"label" if new else "name": "daint"},
            scheduler_type=SCHEDULERS[new],
        )
    return backend


async def test_either_spelling_finds_it(filled):
    for process in PROCESSES:
        query = Query.from_(nodes).select(nodes.label).where(nodes.process_type == process)
        assert [row[0] for row in await filled.queries.fetch(query)] == ["mine"]
    for scheduler in SCHEDULERS:
        for name in (computers.label, computers.name):
            query = Query.from_(computers).select(name).orderby(name)
            query = query.where(computers.scheduler_type.isin([scheduler, "x"]) & (name == "daint"))
            assert [row[0] for row in await filled.queries.fetch(query)] == ["daint"]
            text, values = filled.bind(query)
            async with filled.connection() as connection:
                assert await connection.fetchval(text, *values) == "daint"


async def test_what_others_named_stays(filled, head_dsn):
    async with connected(head_dsn) as connection:
        await insert(connection, "db_dbnode", process_type="aiida.calculations:mine", label="x")
    query = Query.from_(nodes).select(nodes.label)
    found = await filled.queries.fetch(query.where(nodes.process_type == "aiida.calculations:mine"))
    assert [row["label"] for row in found] == ["x"]
