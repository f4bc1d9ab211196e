"""Rows of attributes and extras that 0037 cannot nest into documents, or could only drop.

Nodes that have the same lists, dicts and items have the same shape, and most are of a few shapes.
One pass over each table finds these and an example of each; only where something is amiss with the
example are all nodes of its shape looked at, by the rules that the step itself nests them by.
"""

from __future__ import annotations

from collections import defaultdict
from math import inf
from typing import TYPE_CHECKING, Final

from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.migration.checks.catalogue import KINDS
from aiidadb.migration.checks.json_text import judge
from aiidadb.migration.checks.rows import query_for
from aiidadb.migration.row_batches import read_in_batches
from aiidadb.migration.values.attribute_shapes import MisplacedRow, nest
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from aiidadb.migration.findings import Finding
    from aiidadb.migration.plan import MigrationPlan

__all__ = ["find_attributes"]

_ROWS_AT_ONCE: Final = 500
_TABLES: Final = ("db_dbattribute", "db_dbextra")


async def find_attributes(connection: asyncpg.Connection, plan: MigrationPlan) -> list[Finding]:
    """Find what 0037 would stop at, export or lose. Only reads.

    Args:
        connection: In a transaction, to the database at the plan's origin.
        plan: What will run.

    Returns:
        A finding for each kind and table.
    """
    step = KINDS["misplaced_attribute"].step_of(plan)
    if step is None or query_for(("attribute_signals",), plan.form) is None:
        return []
    strays = False
    found: list[Finding] = []
    for table in _TABLES:
        shapes = await QUERIES["attribute_signals"].on_table(table).fetch(connection, None)
        strays = strays or any(row["gone"] for row in shapes)
        samples = {row["node"]: row["shape"] for row in shapes if not row["gone"]}
        found += await _find_misplaced(connection, step, table, samples)
        if inf in samples.values():
            found += await _find_odd(connection, step, table)
    if not strays:
        return found
    return [
        KINDS["stray_attribute"].found(
            step, row["subject"], row["number"], row["pks"], example=f"node {row['example']}"
        )
        for row in await QUERIES["stray_attribute"].fetch(connection)
    ] + found


async def _find_misplaced(
    connection: asyncpg.Connection, step: str, table: str, samples: Mapping[int, float]
) -> list[Finding]:
    nodes: list[int] = []
    example = None
    suspects = await _nodes_like_suspects(connection, table, samples)
    async for rows in read_in_batches(
        connection, "misplaced_rows", suspects, size=_ROWS_AT_ONCE, table=table
    ):
        for node, reason in await in_thread(_misplaced, rows):
            nodes.append(node)
            example = example or f"node {node}, {reason}"
    if not nodes:
        return []
    kind = KINDS["misplaced_attribute"]
    return [kind.found(step, table, len(nodes), nodes, example=example)]


async def _nodes_like_suspects(
    connection: asyncpg.Connection, table: str, samples: Mapping[int, float]
) -> list[int]:
    """The nodes some of whose rows may have no place, from one node of each shape.

    Args:
        connection: To the database.
        table: Of the rows.
        samples: Nodes with their shapes; those of infinite shape stand for themselves alone.
    """
    if not samples:
        return []
    query = QUERIES["suspect_nodes"].on_table(table)
    suspects = [row["node"] for row in await query.fetch(connection, list(samples))]
    nodes = [node for node in suspects if samples[node] == inf]
    if shapes := {samples[node] for node in suspects} - {inf}:
        query = QUERIES["attribute_signals"].on_table(table)
        rows = await query.fetch(connection, list(shapes))
        nodes += [row["node"] for row in rows if not row["gone"]]
    return nodes


def _misplaced(rows: Sequence[asyncpg.Record]) -> list[tuple[int, str]]:
    found = []
    for row in rows:
        try:
            nest(row["tokens"])
        except MisplacedRow as error:
            found.append((row["node"], str(error)))
    return found


async def _find_odd(connection: asyncpg.Connection, step: str, table: str) -> list[Finding]:
    found: dict[str, list[int]] = defaultdict(list)
    examples: dict[str, str] = {}
    async for rows in read_in_batches(connection, "odd_rows", size=_ROWS_AT_ONCE, table=table):
        for row in rows:
            datatype = row["datatype"]
            if datatype in ("float", "date"):
                code = "impossible_value"
            elif datatype == "json" and judge(row["written"]) == "fine":
                continue  # such a value is kept
            else:
                code = "unreadable_value"
            found[code].append(row["pk"])
            examples.setdefault(
                code,
                f"node {row['node']}, key {row['key']!r}, {datatype} "
                f"{row['moment'] or row['written']}",
            )
    return [
        KINDS[code].found(step, table, len(pks), pks, example=examples[code])
        for code, pks in found.items()
    ]
