"""Rows of any age of the Django line: how to put some in, and what a step changes of them all."""

from __future__ import annotations

import json
import uuid as uuids
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.helpers.single_steps import django_steps, run_step
from tests.helpers.table_content import Rows, content

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from aiidadb.migration.python_step import StepOutcome

__all__ = ["Changes", "changes_by", "insert", "insert_attribute"]

# What a column gets that must not be null and is not given.
_FILLERS: Final[dict[str, object]] = {
    "bool": False,
    "int4": 0,
    "jsonb": {},
    "text": "",
    "timestamptz": "2015-02-03T00:00:00Z",
    "varchar": "",
}
# Steps that give columns another type or make them, and so touch rows whose values stay; 0026
# counts nodes, and adds rows.
_COUNTED_OTHERWISE: Final = frozenset({18, 24, 26, 32, 33})


async def insert(connection: asyncpg.Connection, table: str, **values: object) -> int:
    """Insert a row, with any value in the columns that must have one and are not given.

    A uuid is a new one, and a user is the first there is, or a new one. Columns that the table does
    not have at the database's age are an error.

    Args:
        connection: To the database.
        table: One of AiiDA's tables with an id.
        values: By column; what JSON can hold, times as ISO strings.

    Returns:
        The row's id.
    """
    columns = await connection.fetch(
        """
        select column_name as name, udt_name as type
        from information_schema.columns
        where table_schema = 'public'
          and table_name = $1::text
          and (column_name = any ($2::text[]) or (is_nullable = 'NO' and column_default is null))
        """,
        table,
        list(values),
    )
    row = {**{name: await _filler(connection, name, kind) for name, kind in columns}, **values}
    assert row.keys() == {name for name, _ in columns}, f"{table} has no such columns: {row.keys()}"
    names = ", ".join(f'"{name}"' for name in row)
    return await connection.fetchval(
        f"""
        insert into {table} ({names})
        select {names} from jsonb_populate_record(null::{table}, $1::text::jsonb)
        returning id
        """,
        json.dumps(row),
    )


async def _filler(connection: asyncpg.Connection, name: str, kind: str) -> object:
    if name == "uuid":
        return str(uuids.uuid4())
    if name in ("user_id", "aiidauser_id"):
        user = await connection.fetchval("select min(id) from db_dbuser")
        return user or await insert(connection, "db_dbuser", email="ada@epfl.ch")
    return _FILLERS[kind]


async def insert_attribute(
    connection: asyncpg.Connection, node: int, key: str, value: object = "", *, extra: bool = False
) -> int:
    """Insert one row of an attribute (or an extra) as it was kept before 0037.

    A text, a truth value or an integer is a whole attribute; of a list or a dict it is the row that
    tells its length, without the rows of its items.
    """
    kind, column = {
        str: ("txt", "tval"),
        bool: ("bool", "bval"),
        int: ("int", "ival"),
        list: ("list", "ival"),
        dict: ("dict", "ival"),
    }[type(value)]
    stored = len(value) if isinstance(value, list | dict) else value
    table = "db_dbextra" if extra else "db_dbattribute"
    return await insert(
        connection, table, dbnode_id=node, key=key, datatype=kind, **{column: stored}
    )


@dataclass(frozen=True)
class Changes:
    """What differs between two states of a database.

    Attributes:
        updated: ``{table: {id: {column: new value}}}``, of the columns that are in both.
        added: Rows that are new, whole, in the same shape.
        removed: The ids of rows that are gone from tables that are still there.
        outcomes: What the Python steps gave back.
    """

    updated: dict[str, Rows] = field(default_factory=dict)
    added: dict[str, Rows] = field(default_factory=dict)
    removed: dict[str, set[int]] = field(default_factory=dict)
    outcomes: tuple[StepOutcome, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.updated or self.added or self.removed)


async def changes_by(
    connection: asyncpg.Connection,
    number: int,
    *,
    repository: Path | None = None,
    export_directory: Path | None = None,
) -> Changes:
    """Run a step, and return what it changed; its header is compared with that.

    Tables and columns that are added, removed or renamed do not count as changes here.

    Args:
        connection: To a database at the version before.
        number: The step.
        repository: The file repository; without one there is none to care for.
        export_directory: Where files go.
    """
    step = django_steps()[number]
    before = await content(connection)
    counting = step.header("rows")
    counted = None if counting is None else await connection.fetchval(counting)
    outcomes = await run_step(
        connection,
        number,
        repository=repository,
        export_directory=export_directory,
        without_repository=repository is None,
    )
    changes = Changes(outcomes=outcomes)
    after = await content(connection)
    for table in before.keys() & after.keys():
        _compare(changes, table, before[table], after[table])
    touched = changes.updated.keys() | changes.added.keys() | changes.removed.keys()
    assert touched <= {name.strip() for name in str(step.header("tables")).split(",")}
    if counted is not None and number not in _COUNTED_OTHERWISE:
        changed = sum(len(rows) for rows in changes.updated.values())
        gone = sum(len(ids) for ids in changes.removed.values())
        assert counted == changed + gone
    return changes


def _compare(changes: Changes, table: str, before: Rows, after: Rows) -> None:
    for pk, row in after.items():
        if pk not in before:
            values = {column: json.loads(str(value)) for column, value in row.items()}
            changes.added.setdefault(table, {})[pk] = values
            continue
        old = before[pk]
        common = row.keys() & old.keys()
        if changed := {c: json.loads(str(row[c])) for c in sorted(common) if row[c] != old[c]}:
            changes.updated.setdefault(table, {})[pk] = changed
    if gone := before.keys() - after.keys():
        changes.removed[table] = gone
