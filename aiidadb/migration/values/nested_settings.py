"""Settings that are lists or dicts, of one row per item, nested into JSON documents (0037)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.migration.values.attribute_shapes import MisplacedRow, fill, nest
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    import asyncpg

    from aiidadb.migration.values.attribute_findings import Findings

__all__ = ["nest_settings"]


async def nest_settings(connection: asyncpg.Connection, findings: Findings) -> None:
    """Make the documents of settings, for the rest of the step to put into ``db_dbsetting``.

    Where rows make no list or dict, the setting gets null, and they stay settings of their own: no
    setting is worth stopping for.

    Args:
        connection: Inside the step's transaction.
        findings: Receives what cannot be read.
    """
    keys: list[str] = []
    documents: list[str] = []
    for row in await QUERIES["eav_nested_settings"].fetch(connection):
        key = row["key"]
        try:
            nested = nest(row["tokens"])
        except MisplacedRow as error:
            findings.lose(f"setting {key!r}: {error}")
            continue
        keys.append(key)
        documents.append(fill(nested, [_read(key, value, findings) for value in row["row_values"]]))
    await QUERIES["eav_setting_documents_insert"].execute(connection, keys, documents)


def _read(key: str, value: str | None, findings: Findings) -> str | None:
    """The JSON of one row; null for what cannot be read."""
    if value is None or not value.startswith("?"):
        return value
    datatype, _, text = value[1:].partition(" ")
    findings.lose(f"an item of setting {key!r}: datatype {datatype!r}, {text!r}")
    return "null"
