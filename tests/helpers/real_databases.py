"""Databases that AiiDA itself made, kept in ``tests/data`` with a README that lists them."""

from __future__ import annotations

import lzma
import re
import tarfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.helpers.databases import run_script

if TYPE_CHECKING:
    from tests.helpers.databases import Databases

__all__ = [
    "closure_of_links",
    "dump_script",
    "load_dump",
    "load_schema",
    "schema_script",
    "unpack",
]

_DATA: Final = Path(__file__).parents[1] / "data"


async def load_dump(databases: Databases, name: str) -> str:
    """Make a database from a dump.

    Args:
        databases: Where it is made, and dropped at the end.
        name: The dump, such as ``legacy/1_aiida-0.12.5_django_0008``.

    Returns:
        Its DSN.
    """

    async def build(dsn: str) -> None:
        await run_script(dsn, dump_script(name))

    return await databases.create(await databases.template(name.replace("/", "_"), build))


def dump_script(name: str) -> str:
    """The script that makes the database of a dump, such as that of `load_dump`."""
    return lzma.decompress((_DATA / f"{name}.sql.xz").read_bytes()).decode()


async def load_schema(databases: Databases, name: str) -> str:
    """Make an empty database with the schema that aiida-core gives it; returns its DSN.

    The name is one of those in ``schema.tar.xz``, such as ``django_0045`` or ``main_0002``.
    """
    dsn = await databases.create()
    await run_script(dsn, schema_script(name))
    return dsn


def schema_script(name: str) -> str:
    """The script that makes a schema of ``schema.tar.xz``."""
    return _schemas()[f"{name}.sql"]


def unpack(name: str, directory: Path) -> Path:
    """Unpack a file repository, or files that AiiDA wrote, into a directory; returns that.

    The name is such as ``legacy/repository_aiida-0.12.5``.
    """
    with tarfile.open(_DATA / f"{name}.tgz") as packed:
        packed.extractall(directory, filter="data")
    return directory


def closure_of_links() -> tuple[str, str]:
    """Function and trigger with which AiiDA up to 0.9 kept ``db_dbpath``, as it made them."""
    script = schema_script("sqlalchemy_01_e15ef2630a1b")
    function = re.search(r"CREATE FUNCTION public\.update_tc\(\).*?\$\$;", script, re.DOTALL)
    trigger = re.search(r"CREATE TRIGGER autoupdate_tc [^;]*;", script)
    assert function is not None
    assert trigger is not None
    return function[0], trigger[0]


@cache
def _schemas() -> dict[str, str]:
    with tarfile.open(_DATA / "schema.tar.xz") as packed:
        members = {member.name: packed.extractfile(member) for member in packed}
        return {name: file.read().decode() for name, file in members.items() if file is not None}
