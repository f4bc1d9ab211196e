"""Attributes and extras of one row an item, nested into JSON documents (0037).

Nodes are alike: a few hundred shapes (which keys there are, which of them are lists and dicts, how
long the lists are) cover nearly all nodes of a database. A shape is nested here, once, into a
template; the server fills the template in, with the values of every node that has the shape. What
the values are does not come here, except where only Python can tell.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.python_step import PythonStep, StepOutcome
from aiidadb.migration.row_batches import read_in_batches
from aiidadb.migration.values.attribute_shapes import MisplacedRow, as_format, fill, nest
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from aiidadb.migration.python_step import StepContext

__all__ = ["BUILD_JSON_FROM_EAV"]

_SLICE_SIZE: Final = 4096  # nodes that one process of the server works on at a time, or more
_SLICES_A_SET: Final = 8
_SLICES_AT_MOST: Final = 1024  # each set is a table, and the server's memory for locks is bounded
_SAMPLE_SIZE: Final = 256  # nodes whose shapes are learned first
_SAMPLE_AT_MOST: Final = 8192  # ids for it, where there are gaps
_SHAPES_AT_ONCE: Final = 200
_ODD_NODES_AT_ONCE: Final = 200
_NAMED_AT_MOST: Final = 10

_FIRST_ID: Final = -(2**31)
_LAST_ID: Final = 2**31 - 1

_WHAT: Final = "attributes and extras made into JSON"

# ------------------------------------------------------------------ what Python alone can tell


@dataclass
class _Findings:
    """What is met on the way: rows that stop the migration, and rows to report."""

    misplaced: list[str] = field(default_factory=list)
    misplaced_count: int = 0
    kept_json: int = 0
    lost: list[str] = field(default_factory=list)
    lost_count: int = 0

    def refuse(self, node: int, extra: bool, problem: str, others: int = 0) -> None:
        self.misplaced_count += 1 + others
        if len(self.misplaced) < _NAMED_AT_MOST:
            more = f" (and in {others} more nodes of the same keys)" if others else ""
            self.misplaced.append(f"{_table(extra)} of node {node}, {problem}{more}")

    def lose(self, what: str) -> None:
        self.lost_count += 1
        if len(self.lost) < _NAMED_AT_MOST:
            self.lost.append(what)

    def raise_for_misplaced(self) -> None:
        if not self.misplaced:
            return
        more = "; …" if self.misplaced_count > len(self.misplaced) else ""
        raise StorageMigrationError(
            "there are rows that have no place in the attributes or extras of their node, in "
            f"{self.misplaced_count} nodes: {'; '.join(self.misplaced)}{more}. AiiDA cannot read "
            "these nodes either: repair or delete the rows, then migrate again"
        )

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.kept_json:
            notes.append(
                "attributes, extras and settings of datatype json, which AiiDA 1.6 turns into null "
                f"here, and which keep their value: {self.kept_json}"
            )
        if self.lost:
            more = "; …" if self.lost_count > len(self.lost) else ""
            notes.append(
                "values that neither AiiDA nor this step can read, and that are null now, as in "
                f"AiiDA: {self.lost_count} ({'; '.join(self.lost)}{more})"
            )
        return tuple(notes)


def _table(extra: bool) -> str:
    return "db_dbextra" if extra else "db_dbattribute"


def _read_odd(row: asyncpg.Record, findings: _Findings) -> str | None:
    """The document of a node that has rows which are no plain values; None where it is refused."""
    node, extra = row["node"], row["extra"]
    values: list[str] = []
    for token, value in zip(row["tokens"], row["row_values"], strict=True):
        key = token[1:]
        if token[0] != "?":
            values.append(value)
        elif not value.startswith("?"):
            findings.kept_json += 1
            values.append(value)
        elif value.startswith("?float "):
            findings.refuse(node, extra, f"key {key!r}: it is a float without a number")
            return None
        elif value.startswith("?date "):
            findings.refuse(
                node, extra, f"key {key!r}: {value[6:]} is a time that neither Python nor AiiDA has"
            )
            return None
        else:
            datatype, _, text = value[1:].partition(" ")
            findings.lose(
                f"{_table(extra)} of node {node}, key {key!r}: datatype {datatype!r}, {text!r}"
            )
            values.append("null")
    return fill(nest(row["tokens"]), values)


# ------------------------------------------------------------------ the step


async def _build_json_from_eav(context: StepContext) -> StepOutcome:
    """Make the documents of all nodes, for the rest of the step to put into ``db_dbnode``.

    The statements and tables that this works with are made by the step's SQL file.

    Args:
        context: The step's context.

    Returns:
        The number of nodes and settings, and notes.

    Raises:
        StorageMigrationError: There are rows that have no place in a document.
    """
    connection = context.connection
    extent = await QUERIES["eav_extent"].fetchrow(connection)
    assert extent is not None
    nodes: int = extent["nodes"]
    cut = _Cut.of(nodes, extent["first_id"] or 0, extent["last_id"] or 0)
    findings = _Findings()
    sample = await QUERIES["eav_sample_shapes"].fetch(connection, cut.sample)
    await _learn(connection, sample, _Findings())  # what is amiss is met again
    done = documents = 0
    for number, bounds in enumerate(cut.sets):
        context.progress(_WHAT, done, nodes)
        documents += await connection.fetchval("select pg_temp.aiidadb_gather($1)", bounds)
        learned = odd = False
        async for shapes in read_in_batches(connection, "eav_unknown_shapes", size=_SHAPES_AT_ONCE):
            odd |= await _learn(connection, shapes, findings)
            learned = True
        if odd:
            await _make_odd(connection, findings)
        if learned:
            await connection.execute("select pg_temp.aiidadb_fill_late()")
        await connection.execute("select pg_temp.aiidadb_settle($1)", number)
        done = min(documents // 2, nodes)
    context.progress(_WHAT, done, nodes)
    if documents > 2 * nodes:
        for row in await QUERIES["eav_stray_rows"].fetch(connection):
            findings.refuse(row["node"], row["extra"], "which is not there")
    findings.raise_for_misplaced()
    for row in await QUERIES["eav_null_settings"].fetch(connection):
        findings.lose(f"setting {row['key']!r}: datatype {row['datatype']!r}, {row['tval']!r}")
    return StepOutcome(rows=nodes + extent["settings"], notes=findings.notes())


@dataclass(frozen=True)
class _Cut:
    """How the nodes are cut into sets, each a few slices.

    Attributes:
        sets: The ids at which the slices of each set begin, and at which its last ends. Together
            they are all that can be ids: rows may have a node that is not there.
        sample: Some ids from all over the database; there need not be nodes of all of them.
    """

    sets: tuple[list[int], ...]
    sample: list[int]

    @classmethod
    def of(cls, nodes: int, first: int, last: int) -> _Cut:
        """Cut so that a slice has the size wanted where the ids have gaps of the same size.

        Where they have not, some slices are larger, and some are empty, which is as right.
        """
        ids = range(first, last + 1)
        slices = min(max(-(-nodes // _SLICE_SIZE), 1), _SLICES_AT_MOST)
        width = -(-len(ids) // slices)
        ends = [_FIRST_ID, *range(first + width, last + 1, width), _LAST_ID + 1]
        # Scattered: of nodes that were made by turns, every n-th would be of the same few kinds.
        wanted = _SAMPLE_SIZE * len(ids) // max(nodes, 1)
        sample = random.Random(0).sample(ids, min(wanted, len(ids), _SAMPLE_AT_MOST))  # noqa: S311
        return cls(
            sets=tuple(
                ends[start : start + _SLICES_A_SET + 1]
                for start in range(0, len(ends) - 1, _SLICES_A_SET)
            ),
            sample=sample,
        )


async def _learn(
    connection: asyncpg.Connection, shapes: Sequence[asyncpg.Record], findings: _Findings
) -> bool:
    """Make templates of shapes; tells whether there are some that cannot have one."""
    odd = False
    shared: list[tuple[list[str], str]] = []
    own: list[tuple[int, str]] = []
    for shape in shapes:
        tokens, bearer = shape["tokens"], shape["bearer"]
        if any(token[0] == "?" for token in tokens):
            odd = True
            continue
        try:
            template = as_format(nest(tokens))
        except MisplacedRow as error:
            findings.refuse(*_who(bearer), str(error), shape["uses"] - 1)
            continue
        if shape["uses"] > 1:
            shared.append((tokens, template))
        else:
            own.append((bearer, template))
    if shared:
        await connection.copy_records_to_table("aiidadb_template", records=shared)
    if own:
        await connection.copy_records_to_table("aiidadb_own_template", records=own)
    return odd


def _who(bearer: int) -> tuple[int, bool]:
    """A node, and whether its extras are meant, of the number that the server tells both by."""
    return bearer >> 1, bool(bearer & 1)


async def _make_odd(connection: asyncpg.Connection, findings: _Findings) -> None:
    """Make, one by one, the documents for which there can be no template."""
    async for rows in read_in_batches(connection, "eav_odd_nodes", size=_ODD_NODES_AT_ONCE):
        made = []
        for row in rows:
            try:
                document = _read_odd(row, findings)
            except MisplacedRow as error:
                findings.refuse(row["node"], row["extra"], str(error))
            else:
                if document is not None:
                    made.append((row["node"], row["extra"], document))
        if made:
            nodes, extras, documents = zip(*made, strict=True)
            await QUERIES["eav_documents_insert"].execute(connection, nodes, extras, documents)


BUILD_JSON_FROM_EAV: Final = PythonStep("build_json_from_eav", _build_json_from_eav)
