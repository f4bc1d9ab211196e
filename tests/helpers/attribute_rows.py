"""Nested values written as AiiDA 0.x wrote them: a row for each item, one table for all types."""

from __future__ import annotations

import datetime
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, TypeAlias

from tests.helpers import old_nodes as nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import asyncpg

__all__ = ["EavRow", "Value", "add_node", "add_rows", "rows_of"]

Value: TypeAlias = (
    "None | bool | int | float | str | datetime.datetime | list[Value] | dict[str, Value]"
)


@dataclass(frozen=True)
class EavRow:
    """A row of ``db_dbattribute`` or ``db_dbextra``, but for its id and its node."""

    key: str
    datatype: str
    bval: bool | None = None
    ival: int | None = None
    fval: float | None = None
    tval: str = ""
    dval: datetime.datetime | None = None


def rows_of(values: Mapping[str, Value]) -> list[EavRow]:
    """The rows of a node's attributes (or extras), in the order in which AiiDA stored them."""
    return [row for key, value in values.items() for row in _rows_of_value(key, value)]


def _rows_of_value(key: str, value: Value) -> list[EavRow]:
    match value:
        case None:
            return [EavRow(key, "none")]
        case bool():
            return [EavRow(key, "bool", bval=value)]
        case int():
            return [EavRow(key, "int", ival=value)]
        case float():
            return [EavRow(key, "float", fval=value)]
        case str():
            return [EavRow(key, "txt", tval=value)]
        case datetime.datetime():
            return [EavRow(key, "date", dval=value)]
        case list():
            items = [(str(index), item) for index, item in enumerate(value)]
            head = EavRow(key, "list", ival=len(value))
        case dict():
            items = list(value.items())
            head = EavRow(key, "dict", ival=len(value))
    return [head, *(row for part, item in items for row in _rows_of_value(f"{key}.{part}", item))]


async def add_rows(
    connection: asyncpg.Connection, node: int, rows: Iterable[EavRow], *, extra: bool = False
) -> None:
    """Store rows of a node's attributes, or of its extras."""
    await connection.copy_records_to_table(
        "db_dbextra" if extra else "db_dbattribute",
        records=[(node, *astuple(row)) for row in rows],
        columns=["dbnode_id", "key", "datatype", "bval", "ival", "fval", "tval", "dval"],
    )


async def add_node(
    connection: asyncpg.Connection,
    attributes: Mapping[str, Value] | None = None,
    extras: Mapping[str, Value] | None = None,
) -> int:
    """Store a node with its attributes and extras; its pk."""
    pk, _ = await nodes.add_node(connection, "data.parameter.ParameterData.")
    await add_rows(connection, pk, rows_of(attributes or {}))
    await add_rows(connection, pk, rows_of(extras or {}), extra=True)
    return pk
