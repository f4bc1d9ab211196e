"""Attributes and extras of one row per item, nested into JSON documents (0037).

Nodes are alike: a few hundred shapes (which keys there are, which of them are lists and dicts, how
long the lists are) cover nearly all nodes of a database. A shape is nested here, once, into a
template; the server fills the template in, with the values of every node that has the shape. What
the values are does not come here, except where only Python can decide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.migration.python_step import PythonStep, StepOutcome
from aiidadb.migration.row_batches import read_in_batches
from aiidadb.migration.values.attribute_findings import Findings, table_of
from aiidadb.migration.values.attribute_shapes import MisplacedRow, as_format, fill, nest
from aiidadb.migration.values.nested_settings import nest_settings
from aiidadb.migration.values.node_slices import cut_nodes
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from aiidadb.migration.python_step import StepContext

__all__ = ["BUILD_JSON_FROM_EAV"]

_SHAPES_AT_ONCE: Final = 200
_ODD_NODES_AT_ONCE: Final = 200

_WHAT: Final = "attributes and extras converted to JSON"

# ------------------------------------------------------------------ what Python alone can decide


def _read_odd(row: asyncpg.Record, findings: Findings) -> str | None:
    """The document of a node that has rows which are not plain values; None where it is refused."""
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
                f"{table_of(extra)} of node {node}, key {key!r}: datatype {datatype!r}, {text!r}"
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
    cut = cut_nodes(nodes, extent["first_id"] or 0, extent["last_id"] or 0)
    findings = Findings()
    sample = await QUERIES["eav_sample_shapes"].fetch(connection, cut.sample)
    await _learn(connection, sample, Findings())  # what is amiss is met again
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
    findings.raise_for_misplaced()
    await nest_settings(connection, findings)
    for row in await QUERIES["eav_null_settings"].fetch(connection):
        findings.lose(f"setting {row['key']!r}: datatype {row['datatype']!r}, {row['tval']!r}")
    return StepOutcome(rows=nodes + extent["settings"], notes=findings.notes())


async def _learn(
    connection: asyncpg.Connection, shapes: Sequence[asyncpg.Record], findings: Findings
) -> bool:
    """Make templates of shapes; returns whether there are some that cannot have one."""
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
    """A node, and whether its extras are meant, from the server's number for both."""
    return bearer >> 1, bool(bearer & 1)


async def _make_odd(connection: asyncpg.Connection, findings: Findings) -> None:
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
