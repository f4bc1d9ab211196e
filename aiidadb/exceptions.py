"""The errors of aiidadb, and the one table that turns the driver's errors into them.

An error says what happened, to what, and what to do. Where the command line has another way of
doing that, it is an attribute of the error, :attr:`AiidaDbError.command_advice`.

AiiDA's own names are kept where AiiDA has one::

    AiidaDbError
    ├── ConfigurationError                what config.json or a DSN says cannot be used
    │   ├── MissingConfigurationError         no configuration file where AiiDA looks for one
    │   ├── ConfigurationVersionError         the file is of a newer AiiDA than this library knows
    │   └── ProfileConfigurationError         a profile is unknown, incomplete or not on PostgreSQL
    ├── InvalidInputError (ValueError)    a value was refused before the server saw it
    │   └── InvalidTypeError (TypeError)      it is not of a type that can be used here
    ├── NotExistent                       what was asked for is not in the database
    ├── MultipleObjectsError              several matched where only one was expected
    ├── MissingExtraError (ImportError)   an optional dependency is not installed
    ├── PoolError                         a pool cannot be used in the way asked for
    │   ├── PoolOptionsError                  the pool is already open with other options
    │   ├── PoolTimeout                       all of its connections were in use for too long
    │   └── ClosedError                       backend, registry or transaction was closed before
    ├── SqlFileError                      a file of sql/ is not as it must be
    ├── EmbeddedServerError               the private PostgreSQL cannot be started
    ├── RepositoryError                   a file repository or container cannot be used as asked
    ├── DatabaseError                     the server, or the way to it, reported an error
    │   ├── UnreachableStorage                no connection, or it broke
    │   ├── AuthenticationError               the server refused user, password or database
    │   ├── PermissionDenied                  the role may not do this
    │   ├── ReadOnlyDatabase                  the session, server or transaction is read-only
    │   ├── IntegrityError                    a constraint would be violated; nothing was changed
    │   ├── ConcurrencyError                  deadlock, serialisation failure, or overlapping calls
    │   ├── LockTimeout                       another session holds the lock: try again
    │   ├── QueryTimeout                      the statement was cancelled, or took too long
    │   ├── ResourceError                     disk, memory or connections of the server ran out
    │   └── UnknownOutcome                    no answer to COMMIT came
    └── SchemaError                       the database's schema does not allow the call
        ├── NotAnAiidaDatabase                none of AiiDA's bookkeeping is there
        ├── IncompatibleStorageSchema         a version that this call cannot serve
        ├── CorruptStorage                    the bookkeeping contradicts itself
        ├── DatabaseNotEmpty                  a new schema was asked for where tables are
        └── StorageMigrationError             a migration cannot start, or a step of it failed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg
from asyncpg.exceptions import OutdatedSchemaCacheError

from aiidadb.callers_own import is_callers_own
from aiidadb.messages import MOST_CHARACTERS, plural, printable, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AiidaDbError",
    "AuthenticationError",
    "ClosedError",
    "ConcurrencyError",
    "ConfigurationError",
    "ConfigurationVersionError",
    "CorruptStorage",
    "DatabaseError",
    "DatabaseNotEmpty",
    "EmbeddedServerError",
    "IncompatibleStorageSchema",
    "IntegrityError",
    "InvalidInputError",
    "InvalidTypeError",
    "LockTimeout",
    "MissingConfigurationError",
    "MissingExtraError",
    "MultipleObjectsError",
    "NotAnAiidaDatabase",
    "NotExistent",
    "PermissionDenied",
    "PoolError",
    "PoolOptionsError",
    "PoolTimeout",
    "ProfileConfigurationError",
    "QueryTimeout",
    "ReadOnlyDatabase",
    "RepositoryError",
    "ResourceError",
    "SchemaError",
    "SqlFileError",
    "StorageMigrationError",
    "UnknownOutcome",
    "UnreachableStorage",
    "translate",
]


class AiidaDbError(Exception):
    """Root of all errors that aiidadb raises on purpose.

    As a string it is what happened, and behind a colon the advice for Python: 500 characters at
    most, whatever was given; what is longer is cut in its middle. It can be copied and pickled, as
    by ``multiprocessing``, and keeps its attributes.

    Attributes:
        advice: What to do for those who call from Python; None where there is nothing to add.
        command_advice: What to do for those on the command line; the same if nothing else was said.
    """

    def __init__(
        self, message: str = "", *, advice: str | None = None, command_advice: str | None = None
    ) -> None:
        super().__init__(_with_advice(message, advice))
        self.advice = advice
        self.command_advice = advice if command_advice is None else command_advice
        self._message = message

    @property
    def what(self) -> str:
        """What happened, without advice."""
        return self._message

    def for_command_line(self) -> str:
        """What happened, and what to do about it on the command line."""
        return _with_advice(self._message, self.command_advice)


class ConfigurationError(AiidaDbError):
    """What AiiDA's ``config.json`` or a DSN says cannot be used."""


class MissingConfigurationError(ConfigurationError):
    """There is no configuration file where AiiDA looks for one."""


class ConfigurationVersionError(ConfigurationError):
    """The configuration file was written by a newer AiiDA than this library knows."""


class ProfileConfigurationError(ConfigurationError):
    """A profile is unknown, incomplete, or not stored in PostgreSQL."""


class InvalidInputError(AiidaDbError, ValueError):
    """A value given by the caller was refused before the server saw it."""


class InvalidTypeError(InvalidInputError, TypeError):
    """A value given by the caller is not of a type that can be used here."""


class NotExistent(AiidaDbError):
    """What was asked for is not in the database."""


class MultipleObjectsError(AiidaDbError):
    """Several matched where only one was expected."""


class MissingExtraError(AiidaDbError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


class PoolError(AiidaDbError):
    """A connection pool cannot be used in the way asked for."""


class PoolOptionsError(PoolError):
    """The profile's pool is already open in this loop, with other options."""


class PoolTimeout(PoolError):
    """All connections of the pool were in use for longer than the caller wanted to wait."""


class ClosedError(PoolError):
    """The backend, registry or transaction was closed before this call."""


class SqlFileError(AiidaDbError):
    """A file of ``sql/`` is not as it must be; the message begins with its path."""


class EmbeddedServerError(AiidaDbError):
    """The private PostgreSQL for demos and tests cannot be started."""


class RepositoryError(AiidaDbError):
    """A file repository or its container cannot be made, read or written as asked."""


class DatabaseError(AiidaDbError):
    """The server, or the way to it, reported an error.

    Attributes:
        sqlstate: The five-character code of PostgreSQL, or None where no server answered.
    """

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        advice: str | None = None,
        command_advice: str | None = None,
    ) -> None:
        super().__init__(message, advice=advice, command_advice=command_advice)
        self.sqlstate = sqlstate


class UnreachableStorage(DatabaseError):
    """No connection to the server could be made, or it broke."""


class AuthenticationError(DatabaseError):
    """The server refused the user, the password or the database."""


class PermissionDenied(DatabaseError):
    """The role may not do this."""


class ReadOnlyDatabase(DatabaseError):
    """The session, the server or the transaction is read-only."""


class IntegrityError(DatabaseError):
    """A constraint would be violated; nothing was changed."""


class ConcurrencyError(DatabaseError):
    """A deadlock, a serialisation failure, or calls that overlap: nothing was changed."""


class LockTimeout(DatabaseError):
    """Another session holds the lock: nothing was changed, try again."""


class QueryTimeout(DatabaseError):
    """The statement was cancelled or took longer than allowed."""


class ResourceError(DatabaseError):
    """Disk, memory or connections of the server ran out."""


class UnknownOutcome(DatabaseError):
    """The connection was lost during COMMIT, or there was no answer: look before trying again."""


class SchemaError(AiidaDbError):
    """The database's schema does not allow the call."""


class NotAnAiidaDatabase(SchemaError):
    """None of AiiDA's bookkeeping is in the database."""


class IncompatibleStorageSchema(SchemaError):
    """The database has a version that this call cannot serve."""


class CorruptStorage(SchemaError):
    """The database's bookkeeping contradicts itself."""


class DatabaseNotEmpty(SchemaError):
    """A new schema was asked for where there are tables already."""


class StorageMigrationError(SchemaError):
    """A migration cannot start, or a step of it failed and was undone."""


_SCHEMA_CHANGED: Final = "the schema changed under the connection: run the transaction again"

_BEHIND_A_POOLER: Final = (
    "behind a pooler such as PgBouncer, set statement_cache_size=0, in a DSN as "
    "?statement_cache_size=0"
)

# SQLSTATE, or the first characters of it for a whole class, to error and advice. The longest match
# wins. Source: PostgreSQL's manual, appendix A.
_BY_SQLSTATE: Mapping[str, tuple[type[DatabaseError], str]] = {
    "08": (UnreachableStorage, "the connection broke; try again"),
    "23": (IntegrityError, "nothing was changed"),
    "25006": (ReadOnlyDatabase, "connect to a server that accepts writes"),
    "25P02": (
        DatabaseError,
        "an earlier statement failed, and nothing of the transaction is stored",
    ),
    "25P03": (
        UnreachableStorage,
        "the server ends transactions that are idle for so long; try again",
    ),
    "25P04": (QueryTimeout, "the server ends transactions that take so long"),
    "26000": (DatabaseError, _BEHIND_A_POOLER),
    "28": (AuthenticationError, "check user and password"),
    "28000": (AuthenticationError, "check the user, and what the server's pg_hba.conf allows it"),
    "3D000": (AuthenticationError, "check the name of the database"),
    "40": (ConcurrencyError, "nothing was changed; try again"),
    "40003": (UnknownOutcome, "look at the database before trying again"),
    "42501": (PermissionDenied, "use a role with the rights needed"),
    "42804": (
        DatabaseError,
        "a criterion must be true or false, as nodes.label == 'a' is; compare or cast the rest",
    ),
    "42883": (DatabaseError, "give functions and operators what they take, or cast it"),
    "42P05": (DatabaseError, _BEHIND_A_POOLER),
    "53": (ResourceError, "the server ran out of disk, memory or connections"),
    "53300": (ResourceError, "all of the server's connections are taken; use smaller pools"),
    "54": (ResourceError, "a limit of the server was exceeded"),
    "55P03": (LockTimeout, "another session holds the lock; try again"),
    "57014": (QueryTimeout, "the statement was cancelled"),
    "57P": (UnreachableStorage, "the server is shutting down or starting up; try again"),
    "57P04": (UnreachableStorage, "the database was dropped"),
    "57P05": (UnreachableStorage, "the server ends sessions that are idle for so long; try again"),
    "58": (ResourceError, "the server's disk or files failed"),
}


def translate(error: BaseException, *, seconds: float | None = None) -> AiidaDbError | None:
    """Turn an error of the driver into one of ours.

    Args:
        error: What was raised while talking to the server.
        seconds: How long the driver waits for a statement, if that is known.

    Returns:
        The error to raise ``from`` the original, or None where the original should pass:
        errors of ours, the caller's own, programming errors, cancellation.
    """
    if is_callers_own(error):
        return None
    if isinstance(error, asyncpg.InvalidCachedStatementError | OutdatedSchemaCacheError):
        # Both are asyncpg's own; the first has the server's SQLSTATE for what is not supported.
        return ConcurrencyError(
            _first_line(error), sqlstate=getattr(error, "sqlstate", None), advice=_SCHEMA_CHANGED
        )
    if isinstance(error, asyncpg.DataError) and error.severity is None:  # it was not sent
        return InvalidInputError(f"a value does not fit the type it is sent as: {error}")
    if isinstance(error, asyncpg.PostgresError):
        sqlstate: str = error.sqlstate or ""
        for length in (5, 3, 2):
            if found := _BY_SQLSTATE.get(sqlstate[:length]):
                kind, advice = found
                return kind(
                    f"{_first_line(error)} (SQLSTATE {sqlstate})", sqlstate=sqlstate, advice=advice
                )
        return DatabaseError(f"{_first_line(error)} (SQLSTATE {sqlstate})", sqlstate=sqlstate)
    if isinstance(error, OverflowError):  # as of a time before Christ
        return CorruptStorage(f"the database holds a value that Python cannot: {error}")
    if isinstance(error, OSError | asyncpg.InternalClientError):
        return _translate_lost_connection(error, seconds)
    if isinstance(error, asyncpg.InterfaceError):
        return _translate_interface_error(error)
    return None


def _translate_lost_connection(
    error: OSError | asyncpg.InternalClientError, seconds: float | None
) -> DatabaseError:
    if isinstance(error, TimeoutError):  # which is a kind of OSError
        allowed = "the time allowed" if seconds is None else plural(seconds, "second")
        return QueryTimeout(
            f"the server did not answer within {allowed}",
            advice="allow more with open_backend(command_timeout=…), or for one query with "
            "backend.query(timeout=…)",
            command_advice="try again",
        )
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return UnreachableStorage(
            f"{_first_line(error)}: no server is of the kind that target_session_attrs asks for"
        )
    if isinstance(error, asyncpg.InternalClientError):
        # Its own words are on states of the protocol, such as "cannot switch to state 12".
        return UnreachableStorage("the connection to the server broke", advice="try again")
    return UnreachableStorage(
        f"the connection to the server broke or was refused ({_first_line(error)})",
        advice="check that the server is running, and try again",
    )


def _translate_interface_error(error: asyncpg.InterfaceError) -> AiidaDbError | None:
    if "another operation" in str(error):
        return ConcurrencyError(
            "a statement of the caller's own is under way on the transaction's connection",
            advice="await it before the next call inside the transaction",
        )
    if isinstance(error, ValueError):  # asyncpg's DataError, not the server's of that name
        return InvalidInputError(f"a value does not fit the type it is sent as: {error}")
    if isinstance(
        error, asyncpg.UnsupportedClientFeatureError | asyncpg.UnsupportedServerFeatureError
    ):
        return DatabaseError(_first_line(error))
    if "cannot exceed" in str(error):
        return InvalidInputError(f"too many values for one statement: {_first_line(error)}")
    if "released back to the pool" in str(error):  # the driver takes back what broke
        return UnreachableStorage(
            "the connection to the server was lost",
            advice="try again; if it was a transaction's, run the whole transaction again",
        )
    if "closed" in str(error):
        return UnreachableStorage("the connection to the server was lost", advice="try again")
    # What the connection died of may hide behind it. (Or what the caller handles now does: only
    # the loss of a connection is looked for.)
    hidden = error.__context__
    if isinstance(hidden, asyncpg.PostgresError):
        found = translate(hidden)
        return found if isinstance(found, UnreachableStorage) else None
    return None


def _with_advice(message: str, advice: str | None) -> str:
    message = printable(str(message))
    if advice is None:
        return shorten(message)
    advice = shorten(printable(str(advice)), MOST_CHARACTERS * 2 // 3)
    return f"{shorten(message, MOST_CHARACTERS - len(advice) - 2)}: {advice}"


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
