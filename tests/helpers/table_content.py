"""Rows of AiiDA's tables: put in, read out whole, and held against what they were."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from tests.helpers import old_nodes as nodes

if TYPE_CHECKING:
    import asyncpg

__all__ = [
    "Content",
    "Row",
    "Rows",
    "add_computer",
    "add_group",
    "add_link",
    "add_node",
    "changes",
    "content",
]

Row: TypeAlias = dict[str, object]
Rows: TypeAlias = dict[int, Row]
Content: TypeAlias = dict[str, Rows]


async def add_node(
    connection: asyncpg.Connection,
    node_type: str = "data.dict.Dict.",
    *,
    attributes: object = None,
    extras: object = None,
    process_type: str | None = None,
    uuid: str | None = None,
) -> int:
    """Store a node last changed in 2015; what is not given is null. Gives its pk."""
    pk, _ = await nodes.add_node(connection, node_type, uuid)
    await connection.execute(
        """
        update db_dbnode
        set attributes = $2::text::jsonb, extras = $3::text::jsonb, process_type = $4::text
        where id = $1::int
        """,
        pk,
        None if attributes is None else json.dumps(attributes),
        None if extras is None else json.dumps(extras),
        process_type,
    )
    return pk


async def add_computer(
    connection: asyncpg.Connection, transport_type: str, scheduler_type: str
) -> int:
    label = "label" if await _has_column(connection, "db_dbcomputer", "label") else "name"
    return await connection.fetchval(
        f"""
        insert into db_dbcomputer (
            uuid, {label}, hostname, description, transport_type, scheduler_type, metadata
        )
        values (gen_random_uuid(), gen_random_uuid()::text, 'host', '', $1::text, $2::text, '{{}}')
        returning id
        """,
        transport_type,
        scheduler_type,
    )


async def add_link(connection: asyncpg.Connection, source: int, target: int, label: str) -> int:
    return await connection.fetchval(
        """
        insert into db_dblink (label, type, input_id, output_id)
        values ($1::text, 'create', $2::int, $3::int)
        returning id
        """,
        label,
        source,
        target,
    )


async def add_group(connection: asyncpg.Connection, label: str, type_string: str) -> int:
    await add_node(connection)  # brings the user
    return await connection.fetchval(
        """
        insert into db_dbgroup (uuid, label, type_string, time, description, user_id)
        select gen_random_uuid(), $1::text, $2::text, '2015-02-03', '', min(id)
        from db_dbuser
        returning id
        """,
        label,
        type_string,
    )


async def _has_column(connection: asyncpg.Connection, table: str, column: str) -> bool:
    return await connection.fetchval(
        """
        select count(*) > 0
        from information_schema.columns
        where table_name = $1::text and column_name = $2::text
        """,
        table,
        column,
    )


async def content(connection: asyncpg.Connection) -> Content:
    """Every row of AiiDA's tables as ``{table: {id: {column: JSON text}}}``, bookkeeping aside."""
    tables = await connection.fetch(
        """
        select table_name
        from information_schema.columns
        where table_schema = 'public'
          and table_name like 'db\\_%'
          and column_name = 'id'
        order by table_name
        """
    )
    found: Content = {}
    for (table,) in tables:
        rows = await connection.fetch(
            f"""
            select entry.id, jsonb_object_agg(field.key, field.value::text) as fields
            from {table} as entry, jsonb_each(to_jsonb(entry)) as field
            group by entry.id
            order by entry.id
            """
        )
        found[table] = {row["id"]: json.loads(row["fields"]) for row in rows}
    found["db_dbsetting"] = {
        pk: row for pk, row in found["db_dbsetting"].items() if row["key"] != '"db|schemaversion"'
    }
    return found


def changes(before: Content, after: Content) -> Content:
    """What is new in ``after``, as ``{table: {id: {column: value}}}``; what is gone is an error."""
    assert before.keys() == after.keys()
    found: Content = {}
    for table, rows in after.items():
        assert before[table].keys() <= rows.keys()
        for pk, row in rows.items():
            old = before[table].get(pk, {})
            if changed := {
                key: json.loads(str(row[key])) for key in row if row[key] != old.get(key)
            }:
                found.setdefault(table, {})[pk] = changed
    return found
