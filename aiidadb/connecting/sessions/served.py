"""Which versions of the schema are served, and the error where a call cannot serve one.

A backend of another version can be opened with ``schema_check=False``. Some calls work there
nevertheless, because what they ask for existed before.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from aiidadb.connecting.sessions.migrated import is_sign_of_migration
from aiidadb.exceptions import DatabaseError, IncompatibleStorageSchema
from aiidadb.version.advice import USE_A_NEWER_AIIDADB, advice_to_migrate
from aiidadb.version.schema_version import (
    DJANGO_HEAD,
    MAIN_HEAD,
    SQLALCHEMY_HEAD,
    SchemaVersion,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from aiidadb.connecting.sessions.session import Session

__all__ = [
    "SERVED_VERSIONS",
    "WITH_GROUP_LABELS",
    "WITH_JSON_COLUMNS",
    "WITH_LINK_TYPES",
    "WITH_NODE_TYPE",
    "refuse_unserved",
    "served",
]

SERVED_VERSIONS: Final = (DJANGO_HEAD, SQLALCHEMY_HEAD, SchemaVersion("main", 1), MAIN_HEAD)
"""The versions that every manager can serve; ``backend.schema`` serves them all."""

WITH_GROUP_LABELS: Final[Callable[[SchemaVersion], bool]] = attrgetter("has_group_labels")
"""For what reads the columns ``label`` and ``type_string`` of groups."""

WITH_NODE_TYPE: Final[Callable[[SchemaVersion], bool]] = attrgetter("has_node_type")
"""For what reads the column ``node_type``."""

WITH_LINK_TYPES: Final[Callable[[SchemaVersion], bool]] = attrgetter("has_link_types")
"""For what chooses links by their types, which would find none under the older names."""

WITH_JSON_COLUMNS: Final[Callable[[SchemaVersion], bool]] = attrgetter("has_json_columns")
"""For what reads attributes, extras or the values of settings as JSONB."""


def refuse_unserved(version: SchemaVersion) -> None:
    """Refuse a database, for calls of every manager.

    Raises:
        IncompatibleStorageSchema: Its version cannot be served; the message says what to do.
    """
    if version not in SERVED_VERSIONS:
        raise _unserved(version, is_open=False)


class served:  # noqa: N801 - a context manager, used as a function is
    """If a call inside fails because of the database's version, say so.

    A class, because a generator in its place would noticeably slow down a small call.

    Args:
        session: Of the database.
        since: Whether a version has what is asked for. Nothing is sent to those that do not: an
            error of the server's would spoil a transaction.

    Raises:
        IncompatibleStorageSchema: The version found at opening cannot be served by this call.
    """

    __slots__ = ("_session",)

    def __init__(
        self, session: Session, since: Callable[[SchemaVersion], bool] | None = None
    ) -> None:
        version = session.version
        if since is not None and version is not None and not since(version):
            raise _unserved(version)
        self._session = session

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(error, DatabaseError) or not is_sign_of_migration(error):
            return
        version = self._session.require_version()
        if version not in SERVED_VERSIONS:
            raise _unserved(version) from error


def _unserved(version: SchemaVersion, *, is_open: bool = True) -> IncompatibleStorageSchema:
    what = f"the database has schema version {version}; supported are " + ", ".join(
        map(str, SERVED_VERSIONS)
    )
    if version > MAIN_HEAD:
        return IncompatibleStorageSchema(what, advice=USE_A_NEWER_AIIDADB)
    return IncompatibleStorageSchema(what, **advice_to_migrate(is_open=is_open))
