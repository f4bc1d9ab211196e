"""What a check finds by the shapes of nodes, held against a look at each node's rows."""

from __future__ import annotations

import random
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

import pytest

from aiidadb.migration.values.attribute_shapes import MisplacedRow, nest
from aiidadb.sql import QUERIES
from tests.helpers.attribute_rows import EavRow, rows_of
from tests.helpers.databases import connected
from tests.helpers.migrating import opened
from tests.helpers.old_nodes import add_node
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

    from tests.helpers.attribute_rows import Value
    from tests.helpers.databases import Databases

NODES = 1200
GONE = 10**6
TABLES = ("db_dbattribute", "db_dbextra")
CONTENTS: tuple[dict[str, Value], ...] = (
    {},
    {"flat": 1, "other": "text"},
    {"list": [1, 2.5, "three", None], "flat": True},
    {"list": [[0.5, 1.5], [2.5, 3.5]], "dict": {"a": {"b": []}}},
    {"dict": {"0": 1, "1": 2, "x": [True, {"7": "seven"}]}},
    {"sites": [{"kind": "Ba", "position": [0.0, 0.0, 0.5]} for _ in range(12)]},
    {"empty": [], "none": {}},
)
# What a place or a key is turned into.
PLACES = ("0", "1", "7", "00", "01", "-1", "x", "", "11", "12", "99999999999", "ö", "a.b", "list")


def spoilt(rows: list[EavRow], draw: random.Random) -> list[EavRow]:
    """Rows with one fault, or what may be none."""
    if not rows:
        return [EavRow(draw.choice(PLACES), draw.choice(["int", "list"]), ival=1)]
    at = draw.randrange(len(rows))
    row = rows[at]
    match draw.randrange(5):
        case 0:
            return rows[:at] + rows[at + 1 :]
        case 1:
            holder, dot, _ = row.key.rpartition(".")
            new = replace(row, key=f"{holder}{dot}{draw.choice(PLACES)}")
        case 2:
            new = replace(row, ival=draw.choice([None, -1, 0, 1, 3, 10, 2 * 10**6]))
        case 3:
            new = replace(row, datatype=draw.choice(["list", "dict", "txt", "complex"]))
        case _:
            new = replace(row, datatype="float", fval=None)
    known = {other.key for other in rows if other is not row}
    return rows if new.key in known else [*rows[:at], new, *rows[at + 1 :]]


def fails(rows: list[EavRow]) -> bool:
    """Whether 0037 fails at a node, or AiiDA would."""
    kinds = {"list": "[{} ", "dict": "{{"}
    tokens = [
        kinds.get(row.datatype, "=").format("" if row.ival is None else row.ival) + row.key
        for row in rows
    ]
    try:
        nest(tokens)
    except MisplacedRow:
        return True
    return False


async def fill(connection: asyncpg.Connection, nodes: dict[str, dict[int, list[EavRow]]]) -> None:
    """Store nodes with the ids 1 to the last, and rows, also of nodes that do not exist."""
    await add_node(connection)
    await connection.execute(
        """
        set session_replication_role = replica;
        create temporary table one as select * from db_dbnode;
        delete from db_dbnode
        """
    )
    columns = await connection.fetchval(
        "select string_agg(quote_ident(attname), ', ') from pg_attribute "
        "where attrelid = 'db_dbnode'::regclass and attnum > 0 and not attisdropped "
        "and attname not in ('id', 'uuid')"
    )
    await connection.execute(
        f"insert into db_dbnode (id, uuid, {columns}) "
        f"select id, gen_random_uuid(), {columns} "
        f"from (select {columns} from one) as one, generate_series(1, {NODES}) as id"
    )
    for table, rows in nodes.items():
        await connection.copy_records_to_table(
            table,
            records=[(node, *astuple(row)) for node, own in rows.items() for row in own],
            columns=["dbnode_id", "key", "datatype", "bval", "ival", "fval", "tval", "dval"],
        )
    await connection.execute("analyze")


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.thorough)])
async def test_the_nodes_whose_rows_cannot_be_nested_are_found(
    databases: Databases, seed: int
) -> None:
    draw = random.Random(seed)
    sound = [rows_of(content) for content in CONTENTS]
    shapes = [spoilt(draw.choice(sound), draw) for _ in range(150)]
    nodes = {
        table: {
            # Most nodes are sound. Some rows' nodes are gone, which is nothing to stop at.
            node if draw.random() < 0.95 else GONE + node: draw.choice(
                shapes if draw.random() < 0.3 else sound
            )
            for node in range(1, NODES + 1)
        }
        for table in TABLES
    }
    dsn = await database_at(databases, 36)
    async with connected(dsn) as connection:
        await fill(connection, nodes)
    async with opened(dsn) as backend:
        check = await backend.schema.check("1.0.37", without_repository=True)
    found = {
        (finding.code, finding.message.partition(":")[0]): (finding.count, finding.pks)
        for finding in check.findings
    }
    for table, rows in nodes.items():
        failing = [node for node, own in rows.items() if node < GONE and fails(own)]
        assert len(failing) > 50
        assert found["misplaced_attribute", table] == (len(failing), tuple(failing[:10]))
        strays = sum(len(own) for node, own in rows.items() if node > GONE)
        assert found["stray_attribute", table][0] == strays
        there = [row for node, own in rows.items() if node < GONE for row in own]
        empty = [row for row in there if row.datatype == "float" and row.fval is None]
        unknown = [row for row in there if row.datatype == "complex"]
        assert found["impossible_value", table][0] == len(empty) > 0
        assert found["unreadable_value", table][0] == len(unknown) > 0
    await databases.drop(dsn)


def scans(plan: dict[str, object]) -> Iterator[tuple[str, str]]:
    """The tables that a plan reads, and how; a table that is read twice twice."""
    if "Relation Name" in plan:
        yield str(plan["Relation Name"]), f"{plan['Node Type']} {plan.get('Index Cond', '')}"
    elif plan["Node Type"] == "Bitmap Index Scan":
        yield str(plan["Index Name"]), f"{plan['Node Type']} {plan.get('Index Cond', '')}"
    for part in plan.get("Plans", ()):  # type: ignore[attr-defined]
        yield from scans(part)


async def test_tables_are_read_once_and_a_closer_look_reads_few_nodes(
    databases: Databases,
) -> None:
    sound = [rows_of(content) for content in CONTENTS]
    rows = {node: sound[node % len(sound)] for node in range(1, NODES + 1)}
    dsn = await database_at(databases, 36)
    async with connected(dsn) as connection:
        await fill(connection, dict.fromkeys(TABLES, rows))
        await connection.execute(
            "insert into db_dblink (input_id, output_id, type, label) "
            f"select id, id + 1, 'create', id from generate_series(1, {NODES - 1}) as id; analyze"
        )

        async def plan(name: str, *values: object, table: str | None = None) -> list[str]:
            query = QUERIES[name]
            text = query.text if table is None else query.on_table(table).text
            explained = await (await connection.prepare(text)).explain(*values)
            return sorted(f"{where}: {how}".strip() for where, how in scans(explained[0]["Plan"]))

        for table in TABLES:
            assert [
                line.partition(":")[0]
                for line in await plan("attribute_signals", None, table=table)
            ] == [table, "db_dbnode"]
            for name in ("suspect_nodes", "misplaced_rows"):
                looked = await plan(name, list(range(1, 5)), table=table)
                assert "dbnode_id = " in " ".join(looked)
                assert not any("Seq Scan" in line for line in looked)
        of_nodes = [line for line in await plan("orphan_row") if line.startswith("db_dbnode:")]
        assert len(of_nodes) == 1
        assert "id = " not in of_nodes[0]  # read once, not for each link
    await databases.drop(dsn)
