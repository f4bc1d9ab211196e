"""The steps of the chain, read from ``sql/migrations/``: what is wrong with one is an error here.

A file is named ``<line>/NNNN_name.sql`` and starts with a header of comment lines::

    -- migration: django_0014
    -- from: 1.0.13
    -- to: 1.0.14
    -- changes: What changes in the database
    -- why: What for, and where it differs from AiiDA's step on purpose
    -- tables: db_dbnode, db_dblink
    -- rows: select count(*) from db_dbnode where …

``tables`` is ``none`` or names them; ``rows`` may be absent, and counts what will be changed. What
follows is sent as it is, except that ``-- call: NAME`` on a line of its own stands for a step
written in Python. The transaction and the bookkeeping are the runner's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import InvalidInputError, SqlFileError
from aiidadb.migration.calls import CALLS
from aiidadb.sql import blank_out, read_header, sql_directory
from aiidadb.version.schema_version import LAST_WITH_DJANGO, SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["HAND_OVER", "NOTES", "PRELUDE", "STEPS", "Call", "MigrationStep", "read_step"]

_CALL = re.compile(r"^-- call: (\w+)[ \t]*$", re.MULTILINE)
_TABLE = re.compile(r"\w+")
_FILE_NAME = re.compile(r"(\d{4})_\w+")
_PARAMETER = re.compile(r"\$\d")
_NEEDED = frozenset({"migration", "from", "to", "changes", "why", "tables"})
_ALLOWED = _NEEDED | {"rows"}

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
class Call:
    """A place in a step where a function of :data:`aiidadb.migration.calls.CALLS` is awaited.

    Attributes:
        name: Its name there.
    """

    name: str


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
        row_count: A question for the number of rows that will be changed, valid on a database at
            ``origin``; None where there is none.
        parts: SQL scripts and calls, in order.
        source: The whole file.
    """

    version: SchemaVersion
    origin: SchemaVersion | None
    name: str
    changes: str
    why: str
    tables: tuple[str, ...]
    row_count: str | None
    parts: tuple[str | Call, ...]
    source: str

    @property
    def calls(self) -> tuple[str, ...]:
        """The names of the steps written in Python that it calls."""
        return tuple(part.name for part in self.parts if isinstance(part, Call))

    @property
    def bookkeeping(self) -> str:
        """The statements that note it as done, for the end of its transaction."""
        if self.version <= LAST_WITH_DJANGO:
            return f"select pg_temp.aiidadb_note_step('{self.name}', '{self.version}');"
        noted = f"select pg_temp.aiidadb_note_revision('{self.version.schema_name}');"
        if self.version.line == "django":
            return f"{noted}\nselect pg_temp.aiidadb_note_setting('{self.version}');"
        return noted


def read_step(path: Path) -> MigrationStep:
    """Read and check the file of one step.

    Args:
        path: The file.

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
        tables=_read_tables(path, header["tables"]),
        row_count=header.get("rows"),
        parts=tuple(_read_parts(path, body)),
        source=path.read_text(encoding="utf-8").strip(),
    )
    if not step.parts:
        raise SqlFileError(f"{path}: there is nothing to execute in it")
    return step


def _read_tables(path: Path, text: str) -> tuple[str, ...]:
    if text in ("none", "all"):
        return ()
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not _TABLE.fullmatch(name):
            raise SqlFileError(f"{path}: {name!r} in the header's tables is no name of a table")
    return names


def _read_parts(path: Path, body: str) -> list[str | Call]:
    parts: list[str | Call] = []
    # Script, name of a call, script, …: the sub-pattern is part of what split() returns.
    for position, part in enumerate(_CALL.split(body)):
        if position % 2:
            if part not in CALLS:
                raise SqlFileError(f"{path}: there is no step written in Python named {part!r}")
            parts.append(Call(part))
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


def _read_line(directory: Path) -> dict[SchemaVersion, MigrationStep]:
    steps: dict[SchemaVersion, MigrationStep] = {}
    previous: SchemaVersion | None = None
    for path in sorted(directory.glob("*.sql")):
        step = read_step(path)
        named = _FILE_NAME.fullmatch(path.stem)
        if named is None or f"{directory.name}_{named[1]}" != step.version.schema_name:
            raise SqlFileError(f"{path}: its name does not say that it leads to {step.version}")
        if step.origin != previous:
            raise SqlFileError(f"{path}: it starts from {step.origin}, not from {previous}")
        steps[step.version] = step
        previous = step.version
    return steps


_DIRECTORY: Final = sql_directory() / "migrations"

NOTES: Final = (_DIRECTORY / "bookkeeping.sql").read_text(encoding="utf-8").strip()
"""The functions that note versions in the database, to be created in the session that does."""

PRELUDE: Final = f"{(_DIRECTORY / 'common.sql').read_text(encoding='utf-8').strip()}\n\n\n{NOTES}"
"""Those, and the functions that the steps use, to be created in each migrating session."""

STEPS: Final[Mapping[SchemaVersion, MigrationStep]] = {
    **_read_line(_DIRECTORY / "django"),
    **_read_line(_DIRECTORY / "main"),
}
"""All steps by the version that they lead to, in the order in which a database takes them."""

HAND_OVER: Final = read_step(_DIRECTORY / "hand_over.sql")
"""How a database of the django line gets to ``main_0001``, in place of that line's own first."""
