"""What a database says of its own version, in whichever of AiiDA's ways, and whether that agrees.

AiiDA 0.x and 1.x record each step in Django's ``django_migrations`` (application ``db``) and the
version in the setting ``db|schemaversion``; AiiDA 2.x records a revision in ``alembic_version``.
AiiDA's old SQLAlchemy backend used ``alembic_version`` too, with hexadecimal revisions, from AiiDA
0.10 on; before, it recorded nothing, and its databases are recognised by their tables. A database
that aiida-core 2.x began to migrate and left has Django's rows and ``django_NNNN`` for Alembic: the
latter is what holds.
"""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.exceptions import (
    ConcurrencyError,
    CorruptStorage,
    IncompatibleStorageSchema,
    InvalidInputError,
    NotAnAiidaDatabase,
    PermissionDenied,
)
from aiidadb.messages import plural, quote
from aiidadb.sql import QUERIES
from aiidadb.version.schema_version import LAST_WITH_DJANGO, SchemaVersion
from aiidadb.version.sqlalchemy_revisions import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Bookkeeping", "find_schema", "read_bookkeeping"]

_STEP_NAME = re.compile(r"(\d{4})_\w+")

_VERSION_IN: Final = frozenset({"alembic_version", "django_migrations"})
_NOTED_IN: Final = {
    "alembic_version": "schema_alembic_versions",
    "django_migrations": "schema_django_migrations",
    "db_dbsetting": "schema_settings",
}
"""The tables of the bookkeeping, each with the query for what it holds."""

_WITHIN_0024: Final = "django_0024a"
"""The one revision of aiida-core 2.x that ends within a step: all of 1.0.24 but a constraint."""

_ATTEMPTS: Final = 10
_NAMED_AT_MOST: Final = 3

# A table disappeared between the look and the reading, or the locks of the reading met those of a
# step.
_TABLES_CHANGED: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InternalServerError,
)


@dataclass(frozen=True, slots=True)
class Bookkeeping:
    """What was read; none of it is judged before :meth:`version` is asked.

    Attributes:
        tables: The names of all tables of the schema.
        alembic_versions: The revisions in ``alembic_version``; None where there is no such table.
        django_steps: The names in ``django_migrations`` for AiiDA's application, ascending; None
            where there is no such table.
        settings: ``db|schemaversion`` and ``schema_generation``, those that are set.
        has_json_settings: Whether settings lie in a JSONB column; None where there is no table.
        has_json_attributes: Whether the attributes of nodes lie in a JSONB column.
        schema: The schema that was looked at: the one in which the ``search_path`` finds
            ``db_dbnode``, or else the one in which it makes new tables; None where it leads to
            none.
        search_path: The session's, as it is set.
        hidden_in: The schemas with a ``db_dbnode`` that the ``search_path`` does not lead to, where
            it finds none.
        unreadable: Tables that the role may not read.
    """

    tables: frozenset[str]
    alembic_versions: tuple[str, ...] | None
    django_steps: tuple[str, ...] | None
    settings: Mapping[str, str | None]
    has_json_settings: bool | None
    has_json_attributes: bool
    schema: str | None
    search_path: str
    hidden_in: tuple[str, ...]
    unreadable: frozenset[str]

    @property
    def is_empty(self) -> bool:
        """Whether there is no table at all."""
        return not self.tables

    @property
    def noted_version(self) -> str | None:
        """The version in the setting ``db|schemaversion``, where AiiDA 0.x and 1.x look for it."""
        noted = self.settings.get("db|schemaversion")
        # AiiDA's own step 0007 writes the version of the next one: a slip that is not a sign of
        # damage.
        if noted == "1.0.8" and self.django_steps and self.django_steps[-1].startswith("0007_"):
            return "1.0.7"
        return noted

    @property
    def is_unnoted(self) -> bool:
        """Whether it is of the SQLAlchemy backend of AiiDA 0.7 to 0.9, which recorded no version.

        Its attributes were JSONB from the first, and it kept the closure of all links, which the
        next step drops; no database of the other line ever had both.
        """
        return not self.alembic_versions and self._is_of_first_revision

    @property
    def is_of_sqlalchemy(self) -> bool:
        """Whether the database is of AiiDA's old SQLAlchemy backend."""
        if not self.alembic_versions:
            return self._is_of_first_revision
        return all(revision in NUMBERS for revision in self.alembic_versions)

    @property
    def is_turned_over(self) -> bool:
        """Whether AiiDA 0.7's script made it from a Django database.

        The script moves attributes and extras into JSONB columns. Their old tables stay, unless it
        was configured otherwise, and so does Django's bookkeeping.
        """
        is_of_django = bool(self.django_steps) or "db_dbattribute" in self.tables
        return self.is_of_sqlalchemy and is_of_django

    @property
    def _is_of_first_revision(self) -> bool:
        return self.has_json_attributes and "db_dbpath" in self.tables

    @property
    def is_half_way(self) -> bool:
        """Whether aiida-core 2.x began to migrate the database, and left it before 1.0.50.

        It records its steps for Alembic and leaves Django's bookkeeping as it was.

        Raises:
            SchemaError: There is no version, as with :meth:`version`.
        """
        version = self.version()
        return (
            self.alembic_versions is not None
            and version.line == "django"
            and version <= LAST_WITH_DJANGO
        )

    @property
    def is_within_0024(self) -> bool:
        """Whether aiida-core 2.x left the database at the first of its two revisions for 1.0.24.

        The version is 1.0.23 then, and only the second half of the next step is left to do.
        """
        return self.alembic_versions == (_WITHIN_0024,)

    def version(self) -> SchemaVersion:
        """The schema's version, if all records agree.

        Raises:
            NotAnAiidaDatabase: No version of AiiDA's is recorded.
            IncompatibleStorageSchema: AiiDA 0.7's script converted it from Django, or it is of a
                version that has no meaning here.
            CorruptStorage: The records contradict each other.
        """
        if self.is_turned_over:
            raise IncompatibleStorageSchema(
                "the database was converted from Django to SQLAlchemy by the script of AiiDA "
                "0.7, which left columns and constraints as neither of the two backends has them: "
                "it is not supported; migrate a backup of the Django database from before, or "
                "export all nodes with the AiiDA that opens it (verdi export create) and import "
                "them into a new database"
            )
        if self.is_unnoted:
            return SchemaVersion("sqlalchemy", 1)
        if self.alembic_versions:
            version = self._alembic_version()
            if version.line != "django":
                return version
            if self.django_steps and self._last_step() > version.number:
                raise CorruptStorage(
                    f"alembic_version says {version.schema_name}, but django_migrations has gone "
                    f"on to {self.django_steps[-1]}: restore a backup from before the two parted"
                )
            return version
        if not self.django_steps:
            raise self._nothing_found()
        version = SchemaVersion("django", self._last_step())
        self._refuse_gaps(version)
        noted = self.noted_version
        if noted is not None and noted != str(version):
            raise CorruptStorage(
                f"the setting 'db|schemaversion' says {noted!r}, but the last step in "
                f"django_migrations is {self.django_steps[-1]}: find out which is true, from the "
                "tables that exist, before doing anything else"
            )
        return version

    def recorded_version(self) -> SchemaVersion:
        """The version that the database says it has, whether or not all records agree.

        Raises:
            SchemaError: It says none, or none that is known.
        """
        noted = self.noted_version
        if noted is None or self.alembic_versions or self.is_of_sqlalchemy:
            return self.version()
        try:
            return SchemaVersion.parse(noted)
        except InvalidInputError as error:
            raise CorruptStorage(
                f"the setting 'db|schemaversion' says {quote(noted)}, which is not a version of "
                "AiiDA's"
            ) from error

    def _alembic_version(self) -> SchemaVersion:
        assert self.alembic_versions
        if len(self.alembic_versions) > 1:
            raise CorruptStorage(
                f"alembic_version holds {len(self.alembic_versions)} revisions, "
                f"{', '.join(self.alembic_versions)}, where there should be one"
            )
        revision = self.alembic_versions[0]
        if self.is_within_0024:
            return SchemaVersion("django", 23)
        try:
            return SchemaVersion.parse(revision)
        except InvalidInputError:
            raise IncompatibleStorageSchema(
                f"alembic_version holds {revision!r}, which is not a known version of AiiDA's"
            ) from None

    def _last_step(self) -> int:
        assert self.django_steps
        found = _STEP_NAME.fullmatch(self.django_steps[-1])
        if found is None:
            raise IncompatibleStorageSchema(
                f"django_migrations holds {self.django_steps[-1]!r} for AiiDA, "
                "which is not one of its steps"
            )
        return int(found[1])

    def _refuse_gaps(self, version: SchemaVersion) -> None:
        assert self.django_steps is not None
        there = {int(name[:4]) for name in self.django_steps if name[:4].isdigit()}
        if missing := sorted(set(range(1, version.number + 1)) - there):
            raise CorruptStorage(
                f"django_migrations goes up to {self.django_steps[-1]}, but lacks "
                f"{', '.join(f'{number:04}' for number in missing)}: it is between versions"
            )

    def _nothing_found(self) -> NotAnAiidaDatabase:
        if self.hidden_in:
            schemas = " and ".join(quote(schema) for schema in self.hidden_in[:_NAMED_AT_MOST])
            one = len(self.hidden_in) == 1
            return NotAnAiidaDatabase(
                f"AiiDA's tables are in the {'schema' if one else 'schemas'} {schemas}, which the "
                f"role's search_path ({self.search_path}) does not include",
                advice=f"set it to {'it' if one else 'one of them'} with "
                "`alter role … set search_path = …`",
            )
        if self.schema is None:
            return NotAnAiidaDatabase(
                f"none of the schemas in the role's search_path ({self.search_path}) is there",
                advice="create one, or set another search_path",
            )
        if self.is_empty:
            create = "check the name of the database, or create AiiDA's schema in it with"
            return NotAnAiidaDatabase(
                f"the database is empty (there is no table in the schema {quote(self.schema)}, "
                "which is the first of the search_path)",
                advice=f"{create} `backend.schema.initialise()`",
                command_advice=f"{create} `aiidadb init`",
            )
        return NotAnAiidaDatabase(
            "this is not an AiiDA database: neither alembic_version nor django_migrations records "
            f"a version of AiiDA's schema (the schema {quote(self.schema)} has "
            f"{plural(len(self.tables), 'other table')})",
            advice="check the name of the database",
        )


async def read_bookkeeping(connection: asyncpg.Connection) -> Bookkeeping:
    """Read what the database says of its version; a role that may read is enough.

    While another process migrates the database it is read as it is before a step or after it, never
    as something between. Where a step keeps the tables locked, its end is waited for.

    Raises:
        IncompatibleStorageSchema: AiiDA's tables are in several schemas; the message names two.
        PermissionDenied: The role may not read the bookkeeping.
        ConcurrencyError: Tables changed each time that they were looked at.
    """
    # What there is to read is known only after a look, and may be gone by the time it is read. So
    # one statement looks again and reads: its locks come before its snapshot, and all is of one
    # moment. (A transaction's snapshot would not do: a table that was remade since appears empty.)
    facts = await _look(connection, ())
    changed: asyncpg.PostgresError | None = None
    for _ in range(_ATTEMPTS):
        asked = facts.tables_to_ask()
        if facts.asked == asked:
            return facts.as_bookkeeping()
        try:
            facts = await _look(connection, asked)
        except _TABLES_CHANGED as error:
            changed = error
            facts = await _look(connection, ())
    raise ConcurrencyError(
        "the tables that hold the schema's version changed while they were read: "
        "the database's schema is being changed; try again"
    ) from changed


async def find_schema(connection: asyncpg.Connection) -> str | None:
    """The schema that holds AiiDA's tables, or will. Waits for no lock.

    It is the one in which the session's ``search_path`` finds ``db_dbnode``, or else the one in
    which it makes new tables.

    Returns:
        Its name, not quoted; None where the ``search_path`` leads to no existing schema.

    Raises:
        IncompatibleStorageSchema: AiiDA's tables are in several schemas; the message names two.
    """
    facts = await _look(connection, ())
    facts.refuse_several_schemas()
    return facts.home


@dataclass(frozen=True, slots=True)
class _Facts:
    """What one statement found.

    Attributes:
        asked: The tables that were read.
        values: By source, names and values, as ``sql/queries/schema/schema_tables.sql`` has them.
    """

    asked: tuple[str, ...]
    values: Mapping[str, Mapping[str, str | None]]

    @property
    def home(self) -> str | None:
        return next(iter(self.values["home"]), None)

    def tables_to_ask(self) -> tuple[str, ...]:
        """The tables of the bookkeeping that exist.

        Raises:
            IncompatibleStorageSchema: The name of one of AiiDA's tables leads to another schema.
            PermissionDenied: The role may not read one of them.
        """
        self.refuse_several_schemas()
        asked = tuple(name for name in _NOTED_IN if name in self.values["table"])
        for name in asked:
            if name in self.values["unreadable"]:
                raise PermissionDenied(
                    f"the role may not read {name}, where AiiDA records the schema's version: "
                    f"grant select on all tables to it",
                    sqlstate="42501",
                )
        return asked

    def refuse_several_schemas(self) -> None:
        """Every statement names tables without a schema: they must lead to one and the same."""
        tables = self.values["table"]
        if "db_dbnode" not in tables:
            return
        # A database has one of the two tables for its version; the other is another database's.
        others = _VERSION_IN if tables.keys() & _VERSION_IN else frozenset[str]()
        astray = sorted(
            (name, where)
            for name, where in (*tables.items(), *self.values["elsewhere"].items())
            if where not in (None, self.home) and not (name in others and name not in tables)
        )
        if astray:
            name, where = astray[0]
            raise IncompatibleStorageSchema(
                f"AiiDA's tables are found in different schemas by the search_path: db_dbnode in "
                f"{quote(self.home)}, but {name} in {quote(where)}: set a search_path for the role "
                "that includes only one of them (`alter role … set search_path = …`)"
            )

    def as_bookkeeping(self) -> Bookkeeping:
        values, tables = self.values, self.values["table"]
        return Bookkeeping(
            tables=frozenset(tables),
            alembic_versions=self._names("alembic_version"),
            django_steps=self._names("django_migrations"),
            settings=values["db_dbsetting"],
            has_json_settings=bool(values["json_settings"]) if "db_dbsetting" in tables else None,
            has_json_attributes=bool(values["json_attributes"]),
            schema=self.home,
            search_path=next(iter(values["search_path"])),
            hidden_in=tuple(sorted(values["hidden"])),
            unreadable=frozenset(values["unreadable"]),
        )

    def _names(self, table: str) -> tuple[str, ...] | None:
        return tuple(sorted(self.values[table])) if table in self.values["table"] else None


async def _look(connection: asyncpg.Connection, asked: tuple[str, ...]) -> _Facts:
    text = "\nunion all\n".join(
        QUERIES[name].text for name in ("schema_tables", *(_NOTED_IN[table] for table in asked))
    )
    values: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    # A statement that fails must not spoil the caller's transaction.
    async with connection.transaction() if connection.is_in_transaction() else nullcontext():
        # Without a name: it is asked once, and a named one would stay behind on a pooler's server.
        statement = await connection.prepare(text, name="")
        for source, name, value in await statement.fetch():
            values[source][name] = value
    return _Facts(asked, values)
