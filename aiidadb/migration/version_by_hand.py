"""Writing a version that a database did not come to by steps, because its notes are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.exceptions import InvalidInputError, NotAnAiidaDatabase
from aiidadb.migration.steps import NOTES
from aiidadb.version.schema_version import SQLALCHEMY_HEAD

if TYPE_CHECKING:
    from aiidadb.connecting.sessions.session import Session
    from aiidadb.version.database_version import Bookkeeping
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["write_version"]


async def write_version(session: Session, version: SchemaVersion, bookkeeping: Bookkeeping) -> None:
    """Write a version where databases of its line have it.

    Args:
        session: In a transaction, in which no other session writes versions.
        version: What to write.
        bookkeeping: What the database says now.

    Raises:
        InvalidInputError: The version is of another line than the database's bookkeeping.
        NotAnAiidaDatabase: There is no table to write it to.
    """
    has_revision = bool(bookkeeping.alembic_versions)
    if bookkeeping.has_json_settings is None:
        raise NotAnAiidaDatabase(
            "the database has no table of settings to note a version in: create AiiDA's schema "
            "with backend.schema.initialise()"
        )
    if version.line == "main" and not has_revision:
        noted = (
            f"the sqlalchemy line ({bookkeeping.version()})"
            if bookkeeping.is_unnoted
            else "the django line (1.0.N)"
        )
        raise InvalidInputError(
            f"{version} is of the main line, and the database has no alembic_version: it is of "
            f"{noted}; backend.schema.migrate() converts it"
        )
    if version.line == "sqlalchemy" and not (has_revision or bookkeeping.is_unnoted):
        raise InvalidInputError(
            f"{version} is of the sqlalchemy line, and the database has no alembic_version: it "
            "is of the django line (1.0.N)"
        )
    if version.line == "django" and bookkeeping.is_of_sqlalchemy:
        raise InvalidInputError(
            f"{version} is of the django line, and the database is of the sqlalchemy line: give "
            f"a revision such as {SQLALCHEMY_HEAD}"
        )
    if version.line == "sqlalchemy" and bookkeeping.django_steps:
        raise InvalidInputError(
            f"{version} is of the sqlalchemy line, and the database is of the django line: it "
            "has django_migrations"
        )
    await session.execute(NOTES)
    if has_revision or version.line == "sqlalchemy":
        await session.execute("select pg_temp.aiidadb_note_revision($1::text)", version.revision)
    if version.line == "django":
        await session.execute("select pg_temp.aiidadb_note_setting($1::text)", str(version))
