"""The SQL file of one step: what its header must say, and what it may do.

A file of ``sql/migrations/`` starts with a header of comment lines::

    -- migration: django_0014
    -- from: 1.0.13
    -- to: 1.0.14
    -- changes: What changes in the database
    -- why: What for, and where it differs from AiiDA's step on purpose
    -- tables: db_dbnode, db_dblink
    -- drops: db_dbpath, db_dbnode.public, foreign key django_admin_log.content_type_id,
    --     trigger autoupdate_tc after insert or delete or update on db_dblink for each row
    --     execute function update_tc(),
    --     function update_tc() with source 2543fa447c03bff29db0acf307f7696f
    -- retypes: db_dbnode.uuid
    -- remakes: db_dbnode.type
    -- rows: select count(*) from db_dbnode where …

``tables`` is ``none``, ``all`` or names them. The others may be absent. ``drops`` names tables and
columns that are gone afterwards, and foreign keys that go with a table that they point to;
``retypes`` columns that get another type, ``remakes`` columns whose type is set again, to write
all their values together or to change their length: all that PostgreSQL does not do while a view
shows them. ``rows`` counts what will be changed.

A trigger that ``drops`` names, and the function that it calls, are AiiDA's own, recognised by what
they are from what others made under the same names: the trigger as ``pg_get_triggerdef`` writes it,
in lower case, and the MD5 of the function's source, in lower case too, each white space being one
blank and those at either end left out.

What follows is sent as it is, except that ``-- call: NAME`` on a line of its own stands for a step
written in Python. The transaction and the bookkeeping are the runner's.

A file of the django line that is a step of the sqlalchemy line as well names the revision that it
leads to there, or several; the step before each is that line's own. Where the two lines differ, so
do the values of the header that have the line before their key (``none``: that line has no such
value), and the parts of the file that follow a line which says whose they are::

    -- migration: django_0045
    -- from: 1.0.44
    -- to: 1.0.45
    -- also: 0edcdd5a30f0
    -- tables: db_dbgroup, auth_group
    -- sqlalchemy tables: db_dbgroup
    …

    alter table db_dbgroup …;

    -- django alone:
    alter table auth_group …;

    -- sqlalchemy alone:
    …;

    -- both lines:
    …;
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import InvalidInputError, SqlFileError
from aiidadb.sql import blank_out, read_header
from aiidadb.version.schema_version import LAST_WITH_DJANGO, SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aiidadb.migration.python_step import PythonStep
    from aiidadb.version.schema_version import Line

__all__ = ["MigrationStep", "OwnTrigger", "read_steps"]

_CALL = re.compile(r"^-- call: (\w+)[ \t]*$", re.MULTILINE)
_TABLE = re.compile(r"\w+")
_COLUMN = re.compile(r"\w+\.\w+")
_TABLE_OR_COLUMN = re.compile(r"\w+(?:\.\w+)?")
_FOREIGN_KEY = re.compile(r"foreign key (?P<column>\w+\.\w+)")
_TRIGGER = re.compile(
    r"trigger (?P<name>\w+) .* on (?P<table>\w+) .*execute function (?P<function>\w+\(\))"
)
_FUNCTION = re.compile(r"function (?P<function>\w+\(\)) with source (?P<source>[0-9a-f]{32})")
_PARAMETER = re.compile(r"\$\d")
_FORMS: Final[Mapping[re.Pattern[str], str]] = {
    _TABLE: "the name of a table",
    _COLUMN: "table.column",
    _TABLE_OR_COLUMN: "the name of a table, or table.column",
}
_NEEDED = frozenset({"migration", "from", "to", "changes", "why", "tables"})
_ALLOWED = _NEEDED | {"drops", "retypes", "remakes", "rows"}
_OF_ANOTHER_LINE = "sqlalchemy "
_MAY_DIFFER = (_ALLOWED | {"from"}) - {"migration", "to"}
_BLOCK = re.compile(r"^-- (django alone|sqlalchemy alone|both lines):[ \t]*$", re.MULTILINE)

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
class OwnTrigger:
    """A trigger that AiiDA itself made, recognised by what it is; dropped with its function.

    Attributes:
        name: Its name.
        table: The table that it is on.
        definition: As ``pg_get_triggerdef`` writes it, in lower case.
        function: The function that it calls, such as ``update_tc()``.
        source: The MD5 of the function's source, in lower case and with single blanks.
    """

    name: str
    table: str
    definition: str
    function: str
    source: str


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """One step of the chain.

    Attributes:
        version: What the database has after it.
        origin: What it has before; None for the first of a line, which starts from nothing.
        name: What it is called, such as ``0045_dbgroup_extras`` in the django line, where
            ``django_migrations`` has it too, and ``44_0edcdd5a30f0_dbgroup_extras``.
        file: The name of its file without the ending; two lines may share the file.
        changes: What changes in the database.
        why: What for.
        tables: The tables whose rows or definition are touched.
        drops: The tables and columns (``table.column``) that are gone after it.
        drops_foreign_keys: The columns (``table.column``) that no longer refer to a table that it
            drops.
        drops_trigger: A trigger of AiiDA's own that is gone after it, with its function; None where
            there is none.
        retypes: The columns that get another type.
        remakes: The columns whose type is set again: all values are written, or the length is
            another.
        row_count: A query for the number of rows that will be changed, valid on a database at
            ``origin``; None where there is none.
        parts: SQL scripts, and steps written in Python, in order.
        source: The whole file.
    """

    version: SchemaVersion
    origin: SchemaVersion | None
    name: str
    file: str
    changes: str
    why: str
    tables: tuple[str, ...]
    drops: tuple[str, ...]
    drops_foreign_keys: tuple[str, ...]
    drops_trigger: OwnTrigger | None
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
        """The statements that record it as done, for the end of its transaction."""
        is_of_django = self.version.line == "django"
        if is_of_django and self.version <= LAST_WITH_DJANGO:
            return f"select pg_temp.aiidadb_note_step('{self.name}', '{self.version}');"
        noted = f"select pg_temp.aiidadb_note_revision('{self.version.revision}');"
        if is_of_django:
            return f"{noted}\nselect pg_temp.aiidadb_note_setting('{self.version}');"
        return noted


def read_steps(path: Path, python_steps: Mapping[str, PythonStep]) -> tuple[MigrationStep, ...]:
    """Read and check a file of ``sql/migrations/``.

    Args:
        path: The file.
        python_steps: The steps written in Python, by the names that it may call them by.

    Returns:
        The step that it is, and those that it is of the sqlalchemy line as well, if it says so.

    Raises:
        SqlFileError: It is not as it must be; the message begins with its path.
    """
    header, body = read_header(path)
    if missing := _NEEDED - header.keys():
        raise SqlFileError(f"{path}: the header lacks {', '.join(sorted(missing))}")
    differing = {f"{_OF_ANOTHER_LINE}{key}" for key in _MAY_DIFFER}
    if unknown := header.keys() - _ALLOWED - differing - {"also"}:
        raise SqlFileError(f"{path}: the header has unknown keys {', '.join(sorted(unknown))}")
    file = _File(path, header, body, python_steps)
    steps = tuple(file.steps())
    if not any(step.parts for step in steps):
        raise SqlFileError(f"{path}: there is nothing to execute in it")
    return steps


@dataclass(frozen=True, slots=True)
class _File:
    """A file of ``sql/migrations/``, read for each line that it is a step of."""

    path: Path
    header: Mapping[str, str]
    body: str
    python_steps: Mapping[str, PythonStep]

    def steps(self) -> Iterator[MigrationStep]:
        version = self._version("to")
        if self.header["migration"] != version.schema_name:
            raise SqlFileError(
                f"{self.path}: it is {self.header['migration']}, but leads to {version}"
            )
        origin = None if self.header["from"] == "none" else self._version("from")
        own_line = version.line if origin is None else origin.line
        yield self._step(own_line, version, origin, self.path.stem)
        if "also" in self.header:
            what = self.path.stem.partition("_")[2]
            for revision in self.header["also"].split(","):
                also = self._parse(revision.strip())
                if also.line != "sqlalchemy":
                    raise SqlFileError(
                        f"{self.path}: {also} is not a revision of the sqlalchemy line"
                    )
                before = SchemaVersion("sqlalchemy", also.number - 1) if also.number > 1 else None
                yield self._step("sqlalchemy", also, before, f"{also.number:02}_{also}_{what}")
        elif f"{_OF_ANOTHER_LINE}from" in self.header:
            before = self._version(f"{_OF_ANOTHER_LINE}from")
            yield self._step("sqlalchemy", version, before, self.path.stem)
        elif any(key.startswith(_OF_ANOTHER_LINE) for key in self.header):
            raise SqlFileError(f"{self.path}: a step of one line, whose header names two")
        elif _BLOCK.search(self.body):
            raise SqlFileError(f"{self.path}: a step of one line, with parts of another")

    def _version(self, key: str) -> SchemaVersion:
        return self._parse(self.header[key])

    def _parse(self, text: str) -> SchemaVersion:
        try:
            return SchemaVersion.parse(text)
        except InvalidInputError as error:
            raise SqlFileError(f"{self.path}: {error}") from error

    def _step(
        self, line: Line, version: SchemaVersion, origin: SchemaVersion | None, name: str
    ) -> MigrationStep:
        header = _header_for(line, self.header)
        dropped = _read_dropped(self.path, header)
        return MigrationStep(
            version=version,
            origin=origin,
            name=name,
            file=self.path.stem,
            changes=" ".join(header["changes"].split()),
            why=" ".join(header["why"].split()),
            tables=_read_tables(self.path, header),
            drops=dropped.names,
            drops_foreign_keys=dropped.foreign_keys,
            drops_trigger=dropped.trigger,
            retypes=_read_names(self.path, header, "retypes", _COLUMN),
            remakes=_read_names(self.path, header, "remakes", _COLUMN),
            row_count=header.get("rows"),
            parts=tuple(_read_parts(self.path, _body_for(line, self.body), self.python_steps)),
            source=self.path.read_text(encoding="utf-8").strip(),
        )


def _header_for(line: Line, header: Mapping[str, str]) -> Mapping[str, str]:
    """What a header says of one line."""
    of_both = {key: text for key, text in header.items() if not key.startswith(_OF_ANOTHER_LINE)}
    if line != "sqlalchemy":
        return of_both
    differing = {
        key.removeprefix(_OF_ANOTHER_LINE): text
        for key, text in header.items()
        if key.startswith(_OF_ANOTHER_LINE)
    }
    merged = {**of_both, **differing}
    absent = {key for key, text in differing.items() if text == "none"} - _NEEDED
    return {key: text for key, text in merged.items() if key not in absent}


def _body_for(line: Line, body: str) -> str:
    """The parts of a file that a line has in common with another, and those that are its own."""
    first, *others = _BLOCK.split(body)
    # Whose it is, the part, whose it is, …: the sub-pattern is part of what split() returns.
    kept = [
        part
        for whose, part in zip(others[::2], others[1::2], strict=True)
        if whose in ("both lines", f"{line} alone")
    ]
    return "".join([first, *kept])


def _read_tables(path: Path, header: Mapping[str, str]) -> tuple[str, ...]:
    if header["tables"] in ("none", "all"):
        return ()
    return _read_names(path, header, "tables", _TABLE)


def _read_names(
    path: Path, header: Mapping[str, str], key: str, form: re.Pattern[str]
) -> tuple[str, ...]:
    if key not in header:
        return ()
    return _checked(path, key, [name.strip() for name in header[key].split(",")], form)


def _checked(path: Path, key: str, names: list[str], form: re.Pattern[str]) -> tuple[str, ...]:
    for name in names:
        if not form.fullmatch(name):
            raise SqlFileError(f"{path}: {name!r} in the header's {key} is not {_FORMS[form]}")
    if len(set(names)) < len(names):
        raise SqlFileError(f"{path}: the header's {key} has a name twice")
    return tuple(names)


@dataclass(frozen=True, slots=True)
class _Dropped:
    """What a header's ``drops`` says."""

    names: tuple[str, ...] = ()
    foreign_keys: tuple[str, ...] = ()
    trigger: OwnTrigger | None = None


def _read_dropped(path: Path, header: Mapping[str, str]) -> _Dropped:
    if "drops" not in header:
        return _Dropped()
    names: list[str] = []
    foreign_keys: list[str] = []
    trigger = function = None
    for entry in header["drops"].split(","):
        told = " ".join(entry.split())
        if found := _FOREIGN_KEY.fullmatch(told):
            foreign_keys.append(found["column"])
        elif found := _TRIGGER.fullmatch(told):
            trigger = found
        elif found := _FUNCTION.fullmatch(told):
            function = found
        else:
            names.append(told)
    return _Dropped(
        names=_checked(path, "drops", names, _TABLE_OR_COLUMN),
        foreign_keys=tuple(foreign_keys),
        trigger=_pair(path, trigger, function),
    )


def _pair(
    path: Path, trigger: re.Match[str] | None, function: re.Match[str] | None
) -> OwnTrigger | None:
    if trigger is None and function is None:
        return None
    if trigger is None or function is None or trigger["function"] != function["function"]:
        raise SqlFileError(
            f"{path}: the header's drops names a trigger or a function without the other: a "
            "trigger goes with the function that it calls"
        )
    return OwnTrigger(
        name=trigger["name"],
        table=trigger["table"],
        definition=f"create {trigger[0]}",
        function=function["function"],
        source=function["source"],
    )


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
