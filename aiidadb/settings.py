"""The settings that AiiDA keeps in the database, such as ``db|schemaversion``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, overload

from aiidadb.connecting.sessions.served import WITH_JSON_COLUMNS, served
from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.criteria.held_times import problem_of_time
from aiidadb.exceptions import (
    CorruptStorage,
    DatabaseError,
    InvalidInputError,
    InvalidTypeError,
    NotExistent,
)
from aiidadb.jsonvalue import JsonValue, encode_json, is_small, read_json
from aiidadb.messages import did_you_mean, quote
from aiidadb.sql import QUERIES
from aiidadb.text import require_text

if TYPE_CHECKING:
    import datetime
    from types import TracebackType

    import asyncpg

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["Setting", "SettingsManager"]

_UNDEFINED_TABLE: Final = "42P01"
_MAX_KEY_LENGTH: Final = 1024
_SHORT: Final = 255
_MISSING: Final = object()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting.

    Attributes:
        key: Its key, such as ``db|schemaversion``.
        value: Its JSON value; None where it is null, or Python cannot hold it.
        description: What it is for; may be empty.
        time: When it was last written, with time zone; None where that is a time that Python cannot
            hold: before Christ, after 9999, or infinite. In the sqlalchemy line it may be missing.
        problem: What Python cannot hold of it; None where it can hold all.
    """

    key: str
    value: JsonValue
    description: str
    time: datetime.datetime | None
    problem: str | None = None


class SettingsManager:
    """Reads and writes the table of settings, as ``DjangoSettingsManager`` did.

    A deleted setting is gone here; there its value became null.
    """

    table_name: Final = "db_dbsetting"

    def __init__(self, session: Session) -> None:
        self._session = session

    async def validate_table_existence(self) -> None:
        """Make sure that the table of settings is there.

        Raises:
            NotExistent: It is not.
        """
        with _served(self._session):
            await QUERIES["setting_get"].fetch(self._session, "")

    @overload
    async def get(self, key: str) -> Setting: ...

    @overload
    async def get(self, key: str, default: T) -> Setting | T: ...

    async def get(self, key: str, default: object = _MISSING) -> object:
        """The setting with this key.

        Args:
            key: Its key.
            default: What to return if there is none; by default that is an error.

        Returns:
            The setting, or the default itself.

        Raises:
            CorruptStorage: Python cannot hold its value: it is nested too deep, or has an integer
                of too many digits.
            InvalidInputError: No setting can have such a key.
            NotExistent: There is no such setting and no default, or no table of settings.
        """
        key = _require_key(key)
        with _served(self._session):
            rows = await QUERIES["setting_get"].fetch(self._session, key)
        if not rows:
            if default is _MISSING:
                raise await self._no_such(key)
            return default
        setting, problem = _read(rows[0])
        if problem is not None:
            raise CorruptStorage(
                f"the value of the setting {quote(key)} {problem}",
                advice="write another with settings.set(), or delete the setting",
                command_advice="write another with `aiidadb settings set`, or delete the setting",
            )
        return setting

    async def get_all(self) -> list[Setting]:
        """All settings, by key; those of which Python cannot hold something have a ``problem``.

        Raises:
            NotExistent: There is no table of settings.
        """
        with _served(self._session):
            rows = await QUERIES["setting_list"].fetch(self._session)
        return [_read(row)[0] for row in rows]

    async def set(self, key: str, value: JsonValue, description: str | None = None) -> None:
        """Write a setting, new or not.

        Args:
            key: A non-empty string without a ``.``, of 1,024 characters at most; of 255 in a
                database of the sqlalchemy line.
            value: Any JSON value; it comes back equal. A large one is read in a thread: it must not
                be changed before this returns.
            description: What it is for; None keeps the old one. As the key, it has at most 255
                characters in a database of the sqlalchemy line.

        Raises:
            InvalidInputError: Key, value or description cannot be stored; nothing was sent.
            NotExistent: There is no table of settings.
            UnknownOutcome: The connection was lost before the answer, outside of a transaction.
        """
        text = None if value is None else await _encode(value)
        if description is not None:
            if not isinstance(description, str):
                raise InvalidTypeError(
                    f"the description must be a string, not {quote(description)}"
                )
            require_text(description, "the description")
        key = _require_key(key)
        _require_short(self._session.version, key=key, description=description or "")
        with _served(self._session):
            await self._session.write(QUERIES["setting_set"], key, text, description)

    async def delete(self, key: str) -> None:
        """Remove a setting.

        Raises:
            InvalidInputError: No setting can have such a key.
            NotExistent: There is no such setting, or no table of settings.
            UnknownOutcome: The connection was lost before the answer, outside of a transaction.
        """
        key = _require_key(key)
        with _served(self._session):
            deleted = await self._session.write(QUERIES["setting_delete"], key)
        if not deleted:
            raise await self._no_such(key)

    async def _no_such(self, key: str) -> NotExistent:
        with _served(self._session):
            rows = await QUERIES["setting_list"].fetch(self._session)
        meant = did_you_mean(key, (row["key"] for row in rows))
        return NotExistent(f"there is no setting {quote(key)}", advice=meant or None)


async def _encode(value: JsonValue) -> str:
    """The JSON text of a value, at no more cost for the event loop than that of a small one."""
    return encode_json(value) if is_small(value) else await in_thread(encode_json, value)


class _served(served):  # noqa: N801 - as the one that it is made of
    """Say so where there is no table of settings, or one of a version that is not supported."""

    __slots__ = ()

    def __init__(self, session: Session) -> None:
        super().__init__(session, since=WITH_JSON_COLUMNS)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, DatabaseError) and error.sqlstate == _UNDEFINED_TABLE:
            raise NotExistent(
                f"the database has no table {SettingsManager.table_name}: it is not an AiiDA "
                "database, or its schema has not been created yet"
            ) from error
        super().__exit__(kind, error, traceback)


def _read(row: asyncpg.Record) -> tuple[Setting, str | None]:
    """A setting, and why its value cannot be held: "is nested deeper than Python can read"."""
    text, odd_time = row["value"], row["odd_time"]
    value, of_value = (None, None) if text is None else read_json(text)
    problems = []
    if of_value is not None:
        value = None
        problems.append(f"the value {of_value}")
    if odd_time is not None:
        problems.append(problem_of_time("time", odd_time))
    problem = "; ".join(problems) or None
    return Setting(row["key"], value, row["description"], row["time"], problem), of_value


def _require_key(key: str) -> str:
    """AiiDA's rules for keys, and PostgreSQL's."""
    if not isinstance(key, str):
        raise InvalidTypeError(f"the key of a setting must be a string, not {quote(key)}")
    if not key:
        raise InvalidInputError("the key of a setting must be a non-empty string, not ''")
    if "." in key:
        raise InvalidInputError(
            f"the key {quote(key)} holds a '.', which AiiDA uses as a separator: use '|'"
        )
    if len(key) > _MAX_KEY_LENGTH:
        raise InvalidInputError(f"the key is longer than {_MAX_KEY_LENGTH} characters")
    return require_text(key, "the key", quoted=True)


def _require_short(version: SchemaVersion | None, **texts: str) -> None:
    """Refuse what the columns of the sqlalchemy line cannot hold."""
    if version is None or version.has_long_settings:
        return
    for name, text in texts.items():
        if len(text) > _SHORT:
            raise InvalidInputError(
                f"the {name} of a setting can have at most {_SHORT} characters in a database at "
                f"{version}, and this one has {len(text)}"
            )
