"""Databases of AiiDA 0.12.5 that are as large as wanted: genuine ones, multiplied.

The dumps are those of ``tests/data``, filled through AiiDA's own classes, one per backend. Every
copy of a node has ids and a uuid of its own, and so have its links, logs, comments, states and
groups; it has its files too. Users, computers and settings are there once.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.helpers.real_databases import dump_script, unpack

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

__all__ = ["DJANGO", "SQLALCHEMY", "Genuine", "multiply_database", "multiply_files"]


@dataclass(frozen=True)
class Genuine:
    """A database in ``tests/data``, and the repository that belongs to it."""

    dump: str
    repository: str
    nodes: int

    def copies(self, nodes: int) -> int:
        """How many make roughly so many nodes."""
        return round(nodes / self.nodes)


DJANGO: Final = Genuine("legacy/1_aiida-0.12.5_django_0008", "legacy/repository_aiida-0.12.5", 288)
SQLALCHEMY: Final = Genuine(
    "legacy_sqla/1_aiida-0.12.5_7a6587e16f4c", "legacy_sqla/repository_aiida-0.12.5", 251
)

# Those that others refer to come first.
_TABLES: Final = (
    "db_dbnode",
    "db_dbgroup",
    "db_dbworkflow",
    "db_dbworkflowstep",
    "db_dbworkflowdata",
    "db_dbworkflowstep_calculations",
    "db_dbworkflowstep_sub_workflows",
    "db_dbattribute",
    "db_dbextra",
    "db_dblink",
    "db_dbcalcstate",
    "db_dbcomment",
    "db_dblog",
    "db_dbgroup_dbnodes",
)

# What AiiDA wrote by itself and reads again: nothing may come after it.
_ARRAYS: Final = ".npy"


async def multiply_database(connection: asyncpg.Connection, genuine: Genuine, copies: int) -> None:
    """Load a genuine database into an empty one and multiply it.

    Args:
        connection: To the empty database.
        genuine: What is multiplied.
        copies: How many there are to be of each node, itself included.
    """
    await connection.execute(dump_script(genuine.dump))
    await connection.execute("set search_path to public")
    columns = await connection.fetch(_COLUMNS, list(_TABLES))
    tables = [table for table in _TABLES if any(row["table"] == table for row in columns)]
    # By how much each copy's ids are higher than those of the copy before.
    strides = {
        table: await connection.fetchval(f"select coalesce(max(id), 0) from {table}")
        for table in tables
    }
    async with connection.transaction():
        for table in tables:
            values = {
                row["column"]: _value(table, row["column"], row["refers_to"], strides)
                for row in columns
                if row["table"] == table
            }
            names = ", ".join(f'"{name}"' for name in values)
            await connection.execute(
                f"""
                insert into {table} ({names})
                select {", ".join(values.values())}
                from generate_series(1, {copies - 1}) as copy (number)
                cross join {table} as source
                order by copy.number, source.id
                """,
                timeout=3600,
            )
            await connection.execute(
                f"select setval(pg_get_serial_sequence('{table}', 'id'), max(id)) from {table}"
            )
    await connection.execute("vacuum analyze", timeout=3600)
    await connection.execute("checkpoint", timeout=3600)


def multiply_files(genuine: Genuine, directory: Path, copies: int) -> int:
    """Make the files of a multiplied database.

    Each copy of a file, except for arrays, ends in the number of the copy, so that its content is
    its own as it is in real repositories.

    Args:
        genuine: What was multiplied.
        directory: Where the repository is made.
        copies: How many there are of each node.

    Returns:
        The number of files.
    """
    unpack(genuine.repository, directory)
    files = 0
    for folder in list(directory.glob("repository/node/*/*/*")):
        first, second, rest = folder.parts[-3:]
        here = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        files += len(here) * copies
        for number in range(1, copies):
            # As the database makes it.
            digest = hashlib.md5(f"{first}{second}{rest}/{number}".encode()).hexdigest()
            copied = str(uuid.UUID(digest))
            target = directory / "repository" / "node" / copied[:2] / copied[2:4] / copied[4:]
            shutil.copytree(folder, target)
            for path in here:
                if path.suffix != _ARRAYS:
                    with (target / path).open("ab") as file:
                        file.write(f"\n{number}".encode())
    return files


def _value(table: str, column: str, refers_to: str | None, strides: dict[str, int]) -> str:
    """The SQL for a column of copies."""
    source = f'source."{column}"'
    if column == "id":
        return f"{source} + copy.number * {strides[table]}"
    if refers_to in strides:
        return f"{source} + copy.number * {strides[refers_to]}"
    if column == "uuid":
        return _UUID
    if (table, column) == ("db_dbgroup", "name"):
        return f"{source} || ' ' || copy.number"
    if (table, column) == ("db_dblog", "objpk"):
        of_workflows = "source.objname like 'aiida.workflows.user.%'"
        return (
            f"{source} + copy.number * case when {of_workflows}"
            f" then {strides['db_dbworkflow']} else {strides['db_dbnode']} end"
        )
    return source


# The type of the column, varchar in the one line and uuid in the other, is that of the insert.
_UUID: Final = "md5(source.uuid::text || '/' || copy.number)::uuid"

_COLUMNS: Final = """
    select
        attribute.attrelid::regclass::text as table,
        attribute.attname as column,
        reference.confrelid::regclass::text as refers_to
    from pg_attribute as attribute
    left join pg_constraint as reference
        on reference.conrelid = attribute.attrelid
        and reference.contype = 'f'
        and reference.conkey = array[attribute.attnum]
    where
        attribute.attrelid in (select to_regclass(name) from unnest($1::text[]) as name)
        and attribute.attnum > 0
        and not attribute.attisdropped
    order by attribute.attrelid, attribute.attnum
"""
