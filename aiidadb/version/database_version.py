"""What a database says of its own version, in whichever of AiiDA's ways, and whether that agrees.

AiiDA 0.x and 1.x note each step in Django's ``django_migrations`` (application ``db``) and the
version in the setting ``db|schemaversion``; AiiDA 2.x notes a revision in ``alembic_version``.
AiiDA's old SQLAlchemy backend used ``alembic_version`` too, with hexadecimal revisions. A database
that aiida-core 2.x began to migrate and left has Django's rows and ``django_NNNN`` for Alembic: the
latter is what holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiidadb.exceptions import (
    CorruptStorage,
    IncompatibleStorageSchema,
    InvalidInputError,
    NotAnAiidaDatabase,
    PermissionDenied,
)
from aiidadb.sql import QUERIES
from aiidadb.version.schema_version import LAST_WITH_DJANGO, SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

__all__ = ["Bookkeeping", "read_bookkeeping"]

_SQLALCHEMY_REVISION = re.compile(r"[0-9a-f]{10,12}")
_STEP_NAME = re.compile(r"(\d{4})_\w+")


@dataclass(frozen=True, slots=True)
class Bookkeeping:
    """What was read; nothing of it is judged before :meth:`version` is asked.

    Attributes:
        tables: The names of all tables of the schema ``public``.
        alembic_versions: The revisions in ``alembic_version``; None where there is no such table.
        django_steps: The names in ``django_migrations`` for AiiDA's application, ascending; None
            where there is no such table.
        settings: ``db|schemaversion`` and ``schema_generation``, those that are set.
        has_json_settings: Whether settings lie in a JSONB column; None where there is no table.
    """

    tables: frozenset[str]
    alembic_versions: tuple[str, ...] | None
    django_steps: tuple[str, ...] | None
    settings: Mapping[str, str | None]
    has_json_settings: bool | None

    @property
    def is_empty(self) -> bool:
        """Whether there is no table at all."""
        return not self.tables

    @property
    def noted_version(self) -> str | None:
        """The version in the setting ``db|schemaversion``, where AiiDA 0.x and 1.x look for it."""
        noted = self.settings.get("db|schemaversion")
        # AiiDA's own step 0007 writes the version of the next one: a slip that tells of no harm.
        if noted == "1.0.8" and self.django_steps and self.django_steps[-1].startswith("0007_"):
            return "1.0.7"
        return noted

    @property
    def is_half_way(self) -> bool:
        """Whether aiida-core 2.x began to migrate the database, and left it before 1.0.50.

        It notes its steps for Alembic and leaves Django's bookkeeping as it was.

        Raises:
            SchemaError: There is no version, as :meth:`version` tells.
        """
        version = self.version()
        return (
            self.alembic_versions is not None
            and version.line == "django"
            and version <= LAST_WITH_DJANGO
        )

    def version(self) -> SchemaVersion:
        """The schema's version, if all that is noted agrees.

        Raises:
            NotAnAiidaDatabase: Nothing of AiiDA's is noted.
            IncompatibleStorageSchema: It belongs to AiiDA's old SQLAlchemy line, or to a version
                that has no meaning here.
            CorruptStorage: What is noted contradicts itself.
        """
        if self.alembic_versions:
            version = self._alembic_version()
            if version.line == "main":
                return version
            if self.django_steps and self._last_step() > version.number:
                raise CorruptStorage(
                    f"alembic_version says {version.schema_name}, but django_migrations has gone "
                    f"on to {self.django_steps[-1]}: restore a backup from before the two parted"
                )
            return version
        if not self.django_steps:
            raise NotAnAiidaDatabase(self._nothing_found())
        version = SchemaVersion("django", self._last_step())
        self._refuse_gaps(version)
        noted = self.noted_version
        if noted is not None and noted != str(version):
            raise CorruptStorage(
                f"the setting 'db|schemaversion' says {noted!r}, but the last step in "
                f"django_migrations is {self.django_steps[-1]}: find out which is true, by the "
                "tables that are there, before anything else is done"
            )
        return version

    def _alembic_version(self) -> SchemaVersion:
        assert self.alembic_versions
        if len(self.alembic_versions) > 1:
            raise CorruptStorage(
                f"alembic_version holds {len(self.alembic_versions)} revisions, "
                f"{', '.join(self.alembic_versions)}, where there should be one"
            )
        revision = self.alembic_versions[0]
        if _SQLALCHEMY_REVISION.fullmatch(revision):
            raise IncompatibleStorageSchema(
                f"the database is of AiiDA's old SQLAlchemy backend (revision {revision}), "
                "which is not served: migrate it with aiida-core 2.x first (verdi storage migrate)"
            )
        try:
            return SchemaVersion.parse(revision)
        except InvalidInputError:
            raise IncompatibleStorageSchema(
                f"alembic_version holds {revision!r}, which is no version of AiiDA's that is known"
            ) from None

    def _last_step(self) -> int:
        assert self.django_steps
        found = _STEP_NAME.fullmatch(self.django_steps[-1])
        if found is None:
            raise IncompatibleStorageSchema(
                f"django_migrations holds {self.django_steps[-1]!r} for AiiDA, "
                "which is none of its steps"
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

    def _nothing_found(self) -> str:
        if self.is_empty:
            return (
                "the database is empty, or its tables are not in the schema public, which alone "
                "is looked at: make AiiDA's schema with `backend.schema.initialise()` or "
                "`aiidadb init`"
            )
        return (
            "this is not an AiiDA database: neither alembic_version nor django_migrations says "
            f"anything of AiiDA (there are {len(self.tables)} other tables)"
        )


async def read_bookkeeping(connection: asyncpg.Connection) -> Bookkeeping:
    """Read what the database says of its version; a role that may read is enough.

    Raises:
        PermissionDenied: The role may not read the bookkeeping.
    """
    rows = await QUERIES["schema_tables"].fetch(connection)
    tables = {row["name"]: row for row in rows}
    for name in ("alembic_version", "django_migrations", "db_dbsetting"):
        if name in tables and not tables[name]["readable"]:
            raise PermissionDenied(
                f"the role may not read {name}, where AiiDA notes the schema's version: "
                f"grant select on all tables to it",
                sqlstate="42501",
            )
    alembic = django = None
    if "alembic_version" in tables:
        found = await QUERIES["schema_alembic_versions"].fetch(connection)
        alembic = tuple(row["version"] for row in found)
    if "django_migrations" in tables:
        found = await QUERIES["schema_django_migrations"].fetch(connection)
        django = tuple(row["name"] for row in found)
    settings: dict[str, str | None] = {}
    has_val = tables["db_dbsetting"]["has_val"] if "db_dbsetting" in tables else None
    if has_val is not None:
        query = QUERIES["schema_settings" if has_val else "schema_settings_eav"]
        settings = {row["key"]: row["value"] for row in await query.fetch(connection)}
    return Bookkeeping(frozenset(tables), alembic, django, settings, has_val)
