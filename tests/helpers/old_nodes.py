"""Nodes of any age of the Django line, and their files in AiiDA's old repository."""

from __future__ import annotations

import hashlib
import os
import uuid as uuids
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import asyncpg

TRAJECTORY = "node.data.array.trajectory.TrajectoryData."

# Literals for the columns that a table has had at some age; those that are not there are left out.
_USER = {
    "email": "'ada@epfl.ch'",
    "password": "''",
    "is_superuser": "false",
    "first_name": "''",
    "last_name": "''",
    "institution": "''",
    "is_staff": "false",
    "is_active": "true",
    "last_login": "now()",
    "date_joined": "now()",
}
_NODE = {
    "uuid": "$1::text::uuid",
    "type": "$2::text",
    "node_type": "$2::text",
    "label": "''",
    "description": "''",
    "ctime": "'2014-01-01 00:00Z'",
    "mtime": "'2015-02-03 00:00Z'",
    "nodeversion": "1",
    "lastsyncedversion": "0",
    "public": "false",
    "user_id": "(select min(id) from db_dbuser)",
    "attributes": "'{}'",
    "extras": "'{}'",
    "repository_metadata": "'{}'",
}


async def add_node(
    connection: asyncpg.Connection, node_type: str = "node.data.Data.", uuid: str | None = None
) -> tuple[int, str]:
    """Store a node last changed in 2015; its pk and its uuid."""
    if not await connection.fetchval("select count(*) from db_dbuser"):
        await _insert(connection, "db_dbuser", _USER)
    uuid = uuid or str(uuids.uuid4())
    return await _insert(connection, "db_dbnode", _NODE, uuid, node_type), uuid


async def add_attribute_list(
    connection: asyncpg.Connection, node: int, key: str, values: list[int] | list[str]
) -> None:
    """Store a list of integers or texts as AiiDA kept it in rows (before 0037)."""
    await connection.execute(
        """
        insert into db_dbattribute (dbnode_id, key, datatype, ival, tval)
        values ($1::int, $2::text, 'list', $3::int, '')
        """,
        node,
        key,
        len(values),
    )
    for position, value in enumerate(values):
        await connection.execute(
            """
            insert into db_dbattribute (dbnode_id, key, datatype, ival, tval)
            values ($1::int, $2::text, $3::text, $4::int, $5::text)
            """,
            node,
            f"{key}.{position}",
            "int" if isinstance(value, int) else "txt",
            value if isinstance(value, int) else None,
            value if isinstance(value, str) else "",
        )


async def _insert(
    connection: asyncpg.Connection, table: str, literals: Mapping[str, str], *values: object
) -> int:
    there = {
        row["column_name"]
        for row in await connection.fetch(
            "select column_name from information_schema.columns where table_name = $1::text", table
        )
    }
    columns = [column for column in literals if column in there]
    return await connection.fetchval(
        f"""
        insert into {table} ({", ".join(columns)})
        values ({", ".join(literals[column] for column in columns)})
        returning id
        """,
        *values,
    )


def node_folder(repository: Path, uuid: str) -> Path:
    """The folder of a node, not made."""
    return repository / "repository" / "node" / uuid[:2] / uuid[2:4] / uuid[4:]


def add_files(
    repository: Path, uuid: str, files: Mapping[str, bytes], *, content: str = "path"
) -> Path:
    """Give a node files by their names (with ``/`` in directories); its directory of files."""
    directory = node_folder(repository, uuid) / content
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def nest_directories(content: Path, levels: int, name: str = "d") -> int:
    """Make directories in directories, each but the first the only thing in the one above.

    Args:
        content: Where the first is made.
        levels: How many.
        name: That of all of them.

    Returns:
        A descriptor of the innermost one, for what is to be made in it; to be closed. Its path may
        be longer than the system takes, and pathlib does not go so deep.
    """
    directory = os.open(content, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=directory)
        below = os.open(name, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    return directory


def add_file_in(directory: int, name: str) -> None:
    """Make an empty file in a directory that a descriptor stands for, and close that."""
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=directory))
    os.close(directory)


def object_of(data: bytes) -> dict[str, str]:
    """What ``repository_metadata`` has of a file with this content."""
    return {"k": hashlib.sha256(data).hexdigest()}


def snapshot(directory: Path) -> dict[str, tuple[bytes | None, int]]:
    """Every path below a directory with its content and the time of its last change."""
    return {
        str(path.relative_to(directory)): (
            path.read_bytes() if path.is_file() else None,
            path.lstat().st_mtime_ns,
        )
        for path in sorted(directory.rglob("*"))
    }


def entries(directory: Path) -> list[Path]:
    """What is right in a directory, sorted."""
    return sorted(directory.iterdir())


def size_of_all(directory: Path) -> int:
    """The bytes of all files right in a directory."""
    return sum(path.stat().st_size for path in directory.iterdir())
