"""Finds, checks, hands out and runs the SQL files: what is wrong with one is an error at import.

The files lie in ``sql/`` at the top of a checkout, and in ``aiidadb/_sql`` in an installed wheel. A
file of ``sql/queries/`` holds one query and starts with a header of comment lines::

    -- name: link_types
    -- purpose: Which types of links the database has, for …
    -- parameters: $1 pks bigint[]: the nodes to look at
    -- result: type text, number bigint; one row per type, by name
    select …

``parameters`` is ``none``, or one line per parameter. ``result`` is ``none``, or the columns with
their types, a semicolon, and how many rows there are and what they mean. A test holds the types of
both against those that the server itself reports. It runs on a database of each line's head; a
query that is for other versions names them in ``schema: django_0017, main_0002``, and one that a
step of the migration runs on its own temporary tables names the step: ``step: django_0020``.

A value of several lines continues with four more spaces.

A query that leaves room for criteria built at run time names it in ``slots: criteria`` and holds
``/*{criteria}*/ true`` where they go, so that the file is valid SQL by itself. Extra parameters of
the criteria follow the declared ones.

A query that can be run on several tables lists them in ``tables: db_dbnode, db_dbgroup``, and
holds ``/*{table}*/ db_dbnode`` wherever the table's name goes. No other name can be put there.

A file of ``sql/schema/`` is the whole schema of a line's head, for a new database. Where the
line's own steps make it, as ``steps: main`` says, the file holds only what comes after them.

A query runs itself, on a connection of asyncpg's or on a session::

    rows = await QUERIES["link_types"].fetch(session, pks)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiidadb.exceptions import SqlFileError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    import asyncpg

__all__ = [
    "QUERIES",
    "SCHEMAS",
    "Query",
    "Runner",
    "Typed",
    "blank_out",
    "load_queries",
    "load_schemas",
    "read_header",
    "sql_directory",
]

_HEADER_KEYS = {"name", "purpose", "parameters", "result", "slots", "tables", "schema", "step"}
_HEADS = ("django_0045", "sqlalchemy_44_0edcdd5a30f0", "main_0002")
_HEADER_LINE = re.compile(r"--(?: (?P<key>(?:sqlalchemy )?[a-z]+):)?(?P<rest>.*)")
_TYPE = r"[a-z][a-z0-9_]*(?:\[\])?"
_RESULT = re.compile(rf"(?P<columns>\w+ {_TYPE}(?:,\s\w+ {_TYPE})*);\s\S")
_SCHEMA = re.compile(r"(?:django|main)_\d{4}|sqlalchemy_\d\d_[0-9a-f]+")
_DECLARED = re.compile(rf"\$(\d+) (\w+) ({_TYPE}): \S")
_USED = re.compile(r"\$(\d+)")
# What must not be mistaken for a parameter: comments, quoted text, dollar-quoted bodies.
_OPAQUE = re.compile(r"/\*.*?\*/|--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_SLOT = re.compile(r"/\*\{(\w+)\}\*/ true")
_TABLE = re.compile(r"/\*\{table\}\*/ (\w+)")


class Typed(NamedTuple):
    """A parameter or a column: its name, and its type as PostgreSQL spells it."""

    name: str
    type: str


class Runner(Protocol):
    """What a query can be run on: a connection of asyncpg's, or a session."""

    def fetch(
        self, text: str, /, *arguments: object, timeout: float | None = None
    ) -> Awaitable[list[asyncpg.Record]]:
        """Run one statement and return its rows."""

    def execute(
        self, text: str, /, *arguments: object, timeout: float | None = None
    ) -> Awaitable[str]:
        """Run one statement and return the server's status."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query of ``sql/queries/``.

    Attributes:
        name: The file's name without its ending.
        text: The statement as it is sent, without the header.
        parameters: ``$1``, ``$2``, … in order.
        columns: The columns of the result in order, none where there is no result.
        schemas: The versions of the schema that the query is for.
        step: The step of the migration that runs it on its own temporary tables.
        slots: The places for criteria that are built at run time.
        tables: The tables that the query can be run on, where that is left open.
    """

    name: str
    text: str
    parameters: tuple[Typed, ...]
    columns: tuple[Typed, ...]
    schemas: tuple[str, ...] = _HEADS
    step: str | None = None
    slots: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    def fill(self, **criteria: str) -> Query:
        """Put SQL conditions into the slots; a slot that is not named stays ``true``.

        Args:
            criteria: Slot name to condition, its parameters numbered after the declared ones.

        Returns:
            The same query with the conditions in place.

        Raises:
            KeyError: A slot that this query does not have.
        """
        for slot in criteria:
            if slot not in self.slots:
                raise KeyError(f"query {self.name} has no slot {slot!r}")
        text = _SLOT.sub(
            lambda found: f"({criteria[found[1]]})" if found[1] in criteria else found[0], self.text
        )
        return replace(self, text=text)

    def on_table(self, table: str) -> Query:
        """Run the query on one of the tables that its header lists.

        Args:
            table: The table's name.

        Raises:
            KeyError: A table that the header does not list.
        """
        if table not in self.tables:
            raise KeyError(f"query {self.name} cannot be run on the table {table!r}")
        return replace(self, text=_TABLE.sub(table, self.text))

    def fetch(
        self, runner: Runner, *arguments: object, timeout: float | None = None
    ) -> Awaitable[list[asyncpg.Record]]:
        """Run the query and return all its rows.

        Args:
            runner: Where to run it; it decides which errors are raised.
            arguments: The values of ``$1``, ``$2``, … in order.
            timeout: Seconds; None: as the connection has it.
        """
        return runner.fetch(self.text, *arguments, timeout=timeout)

    async def fetchrow(self, runner: Runner, *arguments: object) -> asyncpg.Record | None:
        """Run a query of one row at most, and return that row, or None where there is none."""
        rows = await self.fetch(runner, *arguments)
        return rows[0] if rows else None

    async def fetchval(self, runner: Runner, *arguments: object) -> Any:
        """Run a query of one row at most, and return its first value, or None without a row."""
        row = await self.fetchrow(runner, *arguments)
        return None if row is None else row[0]

    async def execute(
        self,
        runner: Runner,
        *arguments: object,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> str:
        """Run a query that has no rows for its result, and return the server's status.

        Takes what :meth:`fetch` does.
        """
        return await runner.execute(self.text, *arguments, timeout=timeout)


def sql_directory() -> Path:
    """The directory of the SQL files: in a wheel inside the package, in a checkout beside it."""
    package = Path(__file__).parent
    for candidate in (package / "_sql", package.parent / "sql"):
        if (candidate / "queries").is_dir():
            return candidate
    raise SqlFileError(f"no sql files beside or inside {package}: the installation is broken")


def blank_out(text: str) -> str:
    """SQL with its comments, quoted text and dollar-quoted bodies each turned into a blank."""
    return _OPAQUE.sub(" ", text)


def read_header(path: Path) -> tuple[dict[str, str], str]:
    """Split a SQL file into its header and its body.

    Args:
        path: The file.

    Returns:
        The header's values by key (a value of several lines keeps its line breaks), and the body.

    Raises:
        SqlFileError: There is no header, a key stands twice, or there is no body.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    header: dict[str, str] = {}
    key = None
    body_at = len(lines)
    for at, line in enumerate(lines):
        found = _HEADER_LINE.fullmatch(line)
        if found is None:
            body_at = at
            break
        if found["key"]:
            key = found["key"]
            if key in header:
                raise SqlFileError(f"{path}: the header has {key!r} twice")
            header[key] = found["rest"].strip()
        elif not found["rest"].strip():
            key = None  # a bare "--" ends the header's values; comments may follow
        elif key:
            header[key] = f"{header[key]}\n{found['rest'].strip()}".strip()
    body = "\n".join(lines[body_at:]).strip()
    if not header:
        raise SqlFileError(f"{path}: no header")
    if not body:
        raise SqlFileError(f"{path}: nothing follows the header")
    return header, body


def _load_query(path: Path) -> Query:
    header, body = read_header(path)
    if missing := {"name", "purpose", "parameters", "result"} - header.keys():
        raise SqlFileError(f"{path}: the header lacks {', '.join(sorted(missing))}")
    if unknown := header.keys() - _HEADER_KEYS:
        raise SqlFileError(f"{path}: the header has unknown keys {', '.join(sorted(unknown))}")
    if header["name"] != path.stem:
        raise SqlFileError(f"{path}: the header's name is {header['name']!r}")
    slots, tables = _places(path, header, body)
    schemas, step = _versions(path, header)
    return Query(
        path.stem,
        body,
        parameters=_parameters(path, header["parameters"], body),
        columns=_columns(path, header["result"]),
        schemas=schemas,
        step=step,
        slots=slots,
        tables=tables,
    )


def _parameters(path: Path, described: str, body: str) -> tuple[Typed, ...]:
    declared = _DECLARED.findall(described)
    if len(declared) != described.count("$") or not (declared or described == "none"):
        raise SqlFileError(f"{path}: parameters must be 'none' or lines of '$1 name type: meaning'")
    numbers = [int(number) for number, _, _ in declared]
    if numbers != list(range(1, len(numbers) + 1)):
        raise SqlFileError(f"{path}: parameters are declared as {numbers}, not 1, 2, … in order")
    used = {int(number) for number in _USED.findall(blank_out(body))}
    if undeclared := sorted(used - set(numbers)):
        raise SqlFileError(f"{path}: parameter ${undeclared[0]} is used but not declared")
    if unused := sorted(set(numbers) - used):
        raise SqlFileError(f"{path}: parameter ${unused[0]} is declared but not used")
    return tuple(Typed(name, type_) for _, name, type_ in declared)


def _places(
    path: Path, header: dict[str, str], body: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    slots = _listed(header.get("slots", ""))
    found_slots = set(_SLOT.findall(body))
    if found_slots != set(slots):
        raise SqlFileError(f"{path}: slots {sorted(slots)} declared, {sorted(found_slots)} found")
    tables = _listed(header.get("tables", ""))
    if bool(tables) != bool(named := set(_TABLE.findall(body))) or not named <= set(tables):
        raise SqlFileError(f"{path}: tables {list(tables)} declared, {sorted(named)} found")
    return slots, tables


def _versions(path: Path, header: dict[str, str]) -> tuple[tuple[str, ...], str | None]:
    schemas, step = _listed(header.get("schema", "")), header.get("step")
    if schemas and step:
        raise SqlFileError(f"{path}: the header names a schema or a step, not both")
    for version in schemas if step is None else (step,):
        if not _SCHEMA.fullmatch(version):
            raise SqlFileError(f"{path}: {version!r} is not a version such as django_0045")
    return schemas or _HEADS, step


def _columns(path: Path, result: str) -> tuple[Typed, ...]:
    if result == "none":
        return ()
    found = _RESULT.match(result)
    if found is None:
        raise SqlFileError(
            f"{path}: the result must be 'none' or 'name type, name type; one row per …'"
        )
    return tuple(Typed(*column.split()) for column in found["columns"].split(","))


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def load_queries(directory: Path) -> dict[str, Query]:
    """Read and check all queries in a directory and those below it.

    Args:
        directory: Where they are.

    Returns:
        The queries by name.

    Raises:
        SqlFileError: A file is not as it must be, or two have one name.
    """
    queries: dict[str, Query] = {}
    for path in sorted(directory.rglob("*.sql")):
        query = _load_query(path)
        if query.name in queries:
            raise SqlFileError(f"{path}: there is another query of the name {query.name!r}")
        queries[query.name] = query
    return queries


def _step_scripts(path: Path, line: Path) -> list[str]:
    scripts = [read_header(step)[1] for step in sorted(line.glob("*.sql"))]
    if not scripts:
        raise SqlFileError(f"{path}: there are no steps in {line}")
    return scripts


def load_schemas(directory: Path) -> dict[str, str]:
    """Read the whole schemas in a directory, with the steps that some of them start with.

    Args:
        directory: Where they are; the steps are in the directory ``migrations`` beside it.

    Returns:
        The scripts by the schema's name.

    Raises:
        SqlFileError: A file is not as it must be.
    """
    schemas: dict[str, str] = {}
    for path in sorted(directory.glob("*.sql")):
        header, body = read_header(path)
        if header.get("schema") != path.stem:
            raise SqlFileError(f"{path}: the header's schema is {header.get('schema')!r}")
        if line := header.get("steps"):
            body = "\n\n".join((*_step_scripts(path, directory.parent / "migrations" / line), body))
        schemas[path.stem] = body
    return schemas


QUERIES = load_queries(sql_directory() / "queries")
SCHEMAS = load_schemas(sql_directory() / "schema")
