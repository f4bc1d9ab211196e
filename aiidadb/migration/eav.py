"""Attributes and extras of one row an item, nested into JSON documents (0037).

Nodes are alike: a few hundred shapes (which keys there are, which of them are lists and dicts, how
long the lists are) cover nearly all nodes of a database. A shape is nested here, once, into a
template; the server fills the template in, with the values of every node that has the shape. What
the values are does not come here, except where only Python can tell.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.context import StepOutcome
from aiidadb.migration.rows import read_in_batches
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import asyncpg

    from aiidadb.migration.context import StepContext

__all__ = ["MisplacedRow", "as_format", "build_json_from_eav", "fill", "nest"]

_SLICE_SIZE: Final = 4096  # nodes that one process of the server works on at a time, or more
_SLICES_A_SET: Final = 4
_SLICES_AT_MOST: Final = 1024  # each set is a table, and the server's memory for locks is bounded
_SAMPLE_SIZE: Final = 400
_SHAPES_AT_ONCE: Final = 200
_ODD_NODES_AT_ONCE: Final = 200
_NAMED_AT_MOST: Final = 10
_HOLES_AT_MOST: Final = 1_000_000

_WHAT: Final = "attributes and extras made into JSON"

# A value's place in a document: its number in a string that no key and no value can be, as
# PostgreSQL's text has no NUL. This is how json.dumps() writes it.
_PLACE = re.compile(r'"\\u0000(\d+)"')

_Nested: TypeAlias = "dict[str, _Nested] | list[_Nested] | str | None"


class MisplacedRow(ValueError):
    """A row has no place in its node's document.

    Attributes:
        key: The row's key.
        reason: Why.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"key {key!r}: {reason}")
        self.key = key
        self.reason = reason


class _Row(NamedTuple):
    key: str
    number: int
    kind: str
    length: int | None


# ------------------------------------------------------------------ from a shape to a document


def nest(tokens: Sequence[str]) -> str:
    r"""Nest the rows of a node as AiiDA does.

    AiiDA takes them in the order of their keys; keys of items are those of their list or dict with
    the item's index or key after a dot. Items of a list that have no row are null.

    Args:
        tokens: One a row: ``=key`` for a value, ``{key`` for a dict, ``[2 key`` for a list of two
            items, ``?key`` for a value that is not plain.

    Returns:
        JSON, with the string ``"\u00003"`` in the place of the value of the third row.

    Raises:
        MisplacedRow: A row that AiiDA fails at, or two for the same item.
    """
    document: dict[str, _Nested] = {}
    longest = len(tokens) + _HOLES_AT_MOST
    # By key, in Python's order, that of code points: a list or dict comes before its items.
    for row in sorted(_read_tokens(tokens)):
        *path, last = row.key.split(".")
        inside: _Nested = document
        for part in path:
            inside = _item(row, inside, part)
        _put(row, inside, last, longest)
    return json.dumps(document, ensure_ascii=False)


def as_format(nested: str) -> str:
    """Turn nested JSON into a template for PostgreSQL's ``format()``, with ``%3$s`` for places."""
    return _PLACE.sub(r"%\1$s", nested.replace("%", "%%"))


def fill(nested: str, values: Sequence[str]) -> str:
    """Put values, as JSON, into the places of nested JSON."""
    return _PLACE.sub(lambda found: values[int(found[1]) - 1], nested)


def _read_tokens(tokens: Sequence[str]) -> Iterator[_Row]:
    for number, token in enumerate(tokens, 1):
        kind, key, length = token[0], token[1:], None
        if kind == "[":
            digits, _, key = key.partition(" ")
            length = int(digits) if digits else None
        yield _Row(key, number, kind, length)


def _item(row: _Row, inside: _Nested, part: str) -> _Nested:
    if isinstance(inside, dict):
        if part not in inside:
            raise MisplacedRow(row.key, f"there is no row for {part!r} on its path")
        return inside[part]
    if isinstance(inside, list):
        return inside[_index(row, inside, part)]
    raise MisplacedRow(row.key, f"what holds {part!r} on its path is neither a list nor a dict")


def _put(row: _Row, inside: _Nested, last: str, longest: int) -> None:
    made = _made(row, longest)
    if isinstance(inside, dict):
        if last in inside:
            raise MisplacedRow(row.key, "there are two rows for it")
        inside[last] = made
    elif isinstance(inside, list):
        index = _index(row, inside, last)
        if inside[index] is not None:
            raise MisplacedRow(row.key, "there are two rows for this item of a list")
        inside[index] = made
    else:
        raise MisplacedRow(row.key, "it is inside of what is neither a list nor a dict")


def _made(row: _Row, longest: int) -> _Nested:
    if row.kind == "{":
        return {}
    if row.kind == "[":
        if row.length is None:
            raise MisplacedRow(row.key, "it is a list of unknown length")
        if row.length > longest:  # of which AiiDA would make as many nulls
            raise MisplacedRow(row.key, f"it is a list of {row.length}, whose items are not there")
        return [None] * row.length
    return f"\0{row.number}"


def _index(row: _Row, inside: list[_Nested], part: str) -> int:
    try:
        index = int(part)
    except ValueError:
        raise MisplacedRow(row.key, f"{part!r} is no index of a list") from None
    if not -len(inside) <= index < len(inside):
        raise MisplacedRow(row.key, f"a list of {len(inside)} has no item {index}")
    return index


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


async def build_json_from_eav(context: StepContext) -> StepOutcome:
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
    cut = await connection.fetchrow(
        QUERIES["eav_bounds"].text, _SLICE_SIZE, _SLICES_AT_MOST, _SAMPLE_SIZE
    )
    assert cut is not None
    findings = _Findings()
    sample = await connection.fetch(QUERIES["eav_sample_shapes"].text, cut["sample"])
    await _learn(connection, sample, _Findings())  # what is amiss is met again
    done = 0
    for number, bounds in enumerate(_sets(cut["bounds"])):
        context.progress(_WHAT, done, cut["nodes"])
        await connection.execute("select pg_temp.aiidadb_gather($1)", bounds)
        odd = False
        async for shapes in read_in_batches(connection, "eav_unknown_shapes", size=_SHAPES_AT_ONCE):
            odd |= await _learn(connection, shapes, findings)
        if odd:
            await _make_odd(connection, findings)
        await connection.execute("select pg_temp.aiidadb_settle($1)", number)
        done = min(done + cut["slice_size"] * (len(bounds) - 1), cut["nodes"])
    context.progress(_WHAT, done, cut["nodes"])
    for row in await connection.fetch(QUERIES["eav_stray_rows"].text):
        findings.refuse(row["node"], row["extra"], "which is not there")
    findings.raise_for_misplaced()
    for row in await connection.fetch(QUERIES["eav_null_settings"].text):
        findings.lose(f"setting {row['key']!r}: datatype {row['datatype']!r}, {row['tval']!r}")
    settings = await connection.fetchval(QUERIES["eav_setting_count"].text)
    return StepOutcome(rows=cut["nodes"] + settings, notes=findings.notes())


def _sets(bounds: Sequence[int]) -> Iterator[list[int]]:
    """The bounds of each set of slices; the first and the last are those of all integers."""
    ends = [-(2**31), *bounds, 2**31]
    for start in range(0, len(ends) - 1, _SLICES_A_SET):
        yield ends[start : start + _SLICES_A_SET + 1]


async def _learn(
    connection: asyncpg.Connection, shapes: Sequence[asyncpg.Record], findings: _Findings
) -> bool:
    """Make templates of shapes; tells whether there are some that cannot have one."""
    odd = False
    templates = []
    for shape in shapes:
        if any(token[0] == "?" for token in shape["tokens"]):
            odd = True
            continue
        try:
            template = as_format(nest(shape["tokens"]))
        except MisplacedRow as error:
            findings.refuse(shape["node"], shape["extra"], str(error), shape["uses"] - 1)
        else:
            templates.append((shape["tokens"], template, shape["uses"]))
    await connection.copy_records_to_table(
        "aiidadb_template", records=templates, columns=["tokens", "template", "uses"]
    )
    return odd


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
            await connection.execute(QUERIES["eav_documents_insert"].text, nodes, extras, documents)
