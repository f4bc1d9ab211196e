"""The SQL file of one step: what its header must say, and what it may do.

A file of ``sql/migrations/`` starts with a header of comment lines::

    -- migration: django_0014
    -- from: 1.0.13
    -- to: 1.0.14
    -- changes: What changes in the database
    -- why: What for, and where it differs from AiiDA's step on purpose
    -- tables: db_dbnode, db_dblink
    -- drops: db_dbpath, db_dbnode.public
    -- retypes: db_dbnode.uuid
    -- remakes: db_dbnode.type
    -- rows: select count(*) from db_dbnode where …

``tables`` is ``none``, ``all`` or names them. The others may be absent. ``drops`` names tables and
columns that are gone afterwards, ``retypes`` columns that get another type, ``remakes`` columns
whose type is given anew, to write all their values at once or to change their length: all that
PostgreSQL does not do while a view shows them. ``rows`` counts what will be changed.

What follows is sent as it is, except that ``-- call: NAME`` on a line of its own stands for a step
written in Python. The transaction and the bookkeeping are the runner's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import InvalidInputError, SqlFileError
from aiidadb.sql import blank_out, read_header
from aiidadb.version.schema_version import LAST_WITH_DJANGO, SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiidadb.migration.python_step import PythonStep

__all__ = ["MigrationStep", "read_step"]

_CALL = re.compile(r"^-- call: (\w+)[ \t]*$", re.MULTILINE)
_TABLE = re.compile(r"\w+")
_COLUMN = re.compile(r"\w+\.\w+")
_TABLE_OR_COLUMN = re.compile(r"\w+(?:\.\w+)?")
_PARAMETER = re.compile(r"\$\d")
_FORMS: Final[Mapping[re.Pattern[str], str]] = {
    _TABLE: "the name of a table",
    _COLUMN: "table.column",
    _TABLE_OR_COLUMN: "the name of a table, or table.column",
}
_NEEDED = frozenset({"migration", "from", "to", "changes", "why", "tables"})
_ALLOWED = _NEEDED | {"drops", "retypes", "remakes", "rows"}

# What would end the step's transaction, or cannot run inside one.
_FORBIDDEN = re.compile(
    r"(?P<control>begin|start\s+transaction|commit|end|rollback|abort|savepoint|release|"
    r"prepare\s+transaction)\b"
    r"|(?P<outside>vacuum|create\s+database|drop\s+database|alter\s+system|"
    r"(?:create\s+(?:unique\s+)?index|drop\s+index|reindex\b.*?)\s+concurrently)\b"
    r"|(?P<copy>copy\b.*\b(?:stdin|stdout))\b",
    re.IGNORECASE | re.DOTALL,
)
_WHY_FORBIDDEN: Final[Mapping[str, str]] = {
    "control": "the runner alone begins and ends transactions",
    "outside": "it cannot run inside a transaction",
    "copy": "a script cannot bring its data along",
}


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """One step of the chain.

    Attributes:
        version: What the database has after it.
        origin: What it has before; None for the first of a line, which starts from nothing.
        name: The file's name without its ending; ``django_migrations`` has it too.
        changes: What changes in the database.
        why: What for.
        tables: The tables whose rows or definition are touched.
        drops: The tables and columns (``table.column``) that are gone after it.
        retypes: The columns that get another type.
        remakes: The columns whose type is given anew: all values are written, or the length is
            another.
        row_count: A question for the number of rows that will be changed, valid on a database at
            ``origin``; None where there is none.
        parts: SQL scripts, and steps written in Python, in order.
        source: The whole file.
    """

    version: SchemaVersion
    origin: SchemaVersion | None
    name: str
    changes: str
    why: str
    tables: tuple[str, ...]
    drops: tuple[str, ...]
    retypes: tuple[str, ...]
    remakes: tuple[str, ...]
    row_count: str | None
    parts: tuple[str | PythonStep, ...]
    source: str

    @property
    def python_steps(self) -> tuple[PythonStep, ...]:
        """The steps written in Python that it calls."""
        return tuple(part for part in self.parts if not isinstance(part, str))

    @property
    def bookkeeping(self) -> str:
        """The statements that note it as done, for the end of its transaction."""
        if self.version <= LAST_WITH_DJANGO:
            return f"select pg_temp.aiidadb_note_step('{self.name}', '{self.version}');"
        noted = f"select pg_temp.aiidadb_note_revision('{self.version.schema_name}');"
        if self.version.line == "django":
            return f"{noted}\nselect pg_temp.aiidadb_note_setting('{self.version}');"
        return noted


def read_step(path: Path, python_steps: Mapping[str, PythonStep]) -> MigrationStep:
    """Read and check the file of one step.

    Args:
        path: The file.
        python_steps: The steps written in Python, by the names that it may call them by.

    Raises:
        SqlFileError: It is not as it must be; the message begins with its path.
    """
    header, body = read_header(path)
    if missing := _NEEDED - header.keys():
        raise SqlFileError(f"{path}: the header lacks {', '.join(sorted(missing))}")
    if unknown := header.keys() - _ALLOWED:
        raise SqlFileError(f"{path}: the header has unknown keys {', '.join(sorted(unknown))}")
    try:
        version = SchemaVersion.parse(header["to"])
        origin = None if header["from"] == "none" else SchemaVersion.parse(header["from"])
    except InvalidInputError as error:
        raise SqlFileError(f"{path}: {error}") from error
    if header["migration"] != version.schema_name:
        raise SqlFileError(f"{path}: it is {header['migration']}, but leads to {version}")
    step = MigrationStep(
        version=version,
        origin=origin,
        name=path.stem,
        changes=" ".join(header["changes"].split()),
        why=" ".join(header["why"].split()),
        tables=_read_tables(path, header),
        drops=_read_names(path, header, "drops", _TABLE_OR_COLUMN),
        retypes=_read_names(path, header, "retypes", _COLUMN),
        remakes=_read_names(path, header, "remakes", _COLUMN),
        row_count=header.get("rows"),
        parts=tuple(_read_parts(path, body, python_steps)),
        source=path.read_text(encoding="utf-8").strip(),
    )
    if not step.parts:
        raise SqlFileError(f"{path}: there is nothing to execute in it")
    return step


def _read_tables(path: Path, header: Mapping[str, str]) -> tuple[str, ...]:
    if header["tables"] in ("none", "all"):
        return ()
    return _read_names(path, header, "tables", _TABLE)


def _read_names(
    path: Path, header: Mapping[str, str], key: str, form: re.Pattern[str]
) -> tuple[str, ...]:
    if key not in header:
        return ()
    names = tuple(name.strip() for name in header[key].split(","))
    for name in names:
        if not form.fullmatch(name):
            raise SqlFileError(f"{path}: {name!r} in the header's {key} is not {_FORMS[form]}")
    if len(set(names)) < len(names):
        raise SqlFileError(f"{path}: the header's {key} has a name twice")
    return names


def _read_parts(
    path: Path, body: str, python_steps: Mapping[str, PythonStep]
) -> list[str | PythonStep]:
    parts: list[str | PythonStep] = []
    # Script, name of a call, script, …: the sub-pattern is part of what split() returns.
    for position, part in enumerate(_CALL.split(body)):
        if position % 2:
            if part not in python_steps:
                raise SqlFileError(f"{path}: there is no step written in Python named {part!r}")
            parts.append(python_steps[part])
        elif blank_out(part).strip():  # the driver chokes on comments alone
            _check_script(path, part)
            parts.append(part.strip())
    return parts


def _check_script(path: Path, script: str) -> None:
    bare = blank_out(script)
    if _PARAMETER.search(bare):
        raise SqlFileError(f"{path}: a step has no parameters such as $1")
    for statement in bare.split(";"):
        if found := _FORBIDDEN.match(statement.strip()):
            words = " ".join(found[0].split())
            raise SqlFileError(f"{path}: {words!r}: {_WHY_FORBIDDEN[found.lastgroup or '']}")
