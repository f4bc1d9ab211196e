"""Rows of attributes and extras that 0037 cannot nest into documents, or could only drop.

One pass over both tables finds the blocks of nodes in which something is amiss; only there are rows
looked at one by one, by the rules that the step itself nests them by.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.migration.checks.catalogue import KINDS
from aiidadb.migration.checks.json_text import judge
from aiidadb.migration.checks.rows import query_for
from aiidadb.migration.row_batches import read_in_batches
from aiidadb.migration.values.attribute_shapes import MisplacedRow, nest
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import asyncpg

    from aiidadb.migration.findings import Finding
    from aiidadb.migration.plan import MigrationPlan

__all__ = ["find_attributes"]

_ROWS_AT_ONCE: Final = 500
_BLOCKS_AT_ONCE: Final = 64
_BLOCK_BITS: Final = 8  # as attribute_signals has them
_TABLES: Final = {False: "db_dbattribute", True: "db_dbextra"}


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
    signals = await QUERIES["attribute_signals"].fetch(connection)
    found: list[Finding] = []
    if any(row["strays"] for row in signals):
        found += [
            KINDS["stray_attribute"].found(
                step, row["subject"], row["number"], row["pks"], example=f"node {row['example']}"
            )
            for row in await QUERIES["stray_attribute"].fetch(connection)
        ]
    for extra, table in _TABLES.items():
        unsettled = [row["block"] for row in signals if row["extra"] is extra and row["unsettled"]]
        found += await _find_misplaced(connection, step, table, unsettled)
        odd = [row["block"] for row in signals if row["extra"] is extra and row["odd"]]
        if odd:
            found += await _find_odd(connection, step, table, odd)
    return found


async def _find_misplaced(
    connection: asyncpg.Connection, step: str, table: str, blocks: Iterable[int]
) -> list[Finding]:
    nodes: list[int] = []
    example = None
    for first, last in _runs(blocks):
        async for rows in read_in_batches(
            connection,
            "misplaced_rows",
            first << _BLOCK_BITS,
            (last + 1 << _BLOCK_BITS) - 1,
            size=_ROWS_AT_ONCE,
            table=table,
        ):
            for node, reason in await in_thread(_misplaced, rows):
                nodes.append(node)
                example = example or f"node {node}, {reason}"
    if not nodes:
        return []
    kind = KINDS["misplaced_attribute"]
    return [kind.found(step, table, len(nodes), nodes, example=example)]


def _misplaced(rows: Sequence[asyncpg.Record]) -> list[tuple[int, str]]:
    found = []
    for row in rows:
        try:
            nest(row["tokens"])
        except MisplacedRow as error:
            found.append((row["node"], str(error)))
    return found


async def _find_odd(
    connection: asyncpg.Connection, step: str, table: str, blocks: Sequence[int]
) -> list[Finding]:
    found: dict[str, list[int]] = defaultdict(list)
    examples: dict[str, str] = {}
    batches = read_in_batches(connection, "odd_rows", blocks, size=_ROWS_AT_ONCE, table=table)
    async for rows in batches:
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


def _runs(blocks: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first and last of neighbours, 64 at the most, so that no question is too large."""
    run: list[int] = []
    for block in sorted(blocks):
        if run and (block != run[-1] + 1 or len(run) == _BLOCKS_AT_ONCE):
            yield run[0], run[-1]
            run = []
        run.append(block)
    if run:
        yield run[0], run[-1]
