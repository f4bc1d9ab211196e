"""A profile: which database, as whom, with which files. From a DSN, or AiiDA's ``config.json``."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from aiidadb.arguments import find_path_problem
from aiidadb.connecting.profiles.dsn import parse_dsn
from aiidadb.connecting.profiles.libpq_keys import (
    ConnectionParameters,
    PoolOptions,
    is_port,
    to_arguments,
)
from aiidadb.exceptions import AiidaDbError, ConfigurationError, InvalidInputError, InvalidTypeError
from aiidadb.messages import Secret, plural, quote
from aiidadb.text import require_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Profile",
    "how_to_give_default_user",
    "make_profile",
    "name_of",
    "read_file_uri",
    "require_profile",
    "without_default_user",
]


ClassT = TypeVar("ClassT", bound=type)


def _hiding_arguments(kind: ClassT) -> ClassT:
    """Keep the arguments of a class, a password among them, out of the frames of errors."""
    make: Callable[..., None] = kind.__init__  # type: ignore[misc]

    @functools.wraps(make)
    def hiding(self: object, *values: object, **named: object) -> None:
        try:
            make(self, *values, **named)
        except Exception as error:
            del self, values, named
            if isinstance(error, AiidaDbError):
                raise error.with_traceback(None) from None
            raise

    kind.__init__ = hiding  # type: ignore[misc]
    return kind


@_hiding_arguments
@dataclass(frozen=True)
class Profile:
    """A database of AiiDA and what belongs to it. Creating one opens and checks nothing.

    Its ``repr`` shows neither the password nor the pool options, one of which can be a password.

    Attributes:
        name: What the profile is called.
        uuid: The profile's own, 32 hexadecimal digits or with dashes; None where it has none
            (configurations before version 2, DSNs).
        host: Name or address of the server, or the directory of its Unix socket; a tuple of several
            to be tried in turn; None for the default of libpq, mostly the local socket.
        port: One port, or a tuple with one for each host; None for the default, 5432.
        database: The name of the database; None for the default, the user's name.
        user: The role to log in as; None for the default, the name of the system's user.
        password: Its password; None for the default, from ``PGPASSWORD`` or ``~/.pgpass``.
        default_user_email: The e-mail address of AiiDA's user, to be matched with
            ``db_dbuser.email``; None if not set.
        repository: The directory of the files, AiiDA's ``repository_uri`` without ``file://``. From
            AiiDA 2 on the files are in its subdirectory ``container``.
        backend: AiiDA's name for the way it stores, as the configuration has it. It does not say
            which schema the database has: only the database itself does.
        pool_options: What else the DSN or the configuration asks ``asyncpg.create_pool`` to be
            given; read it with :meth:`connect_arguments`.
        notes: What the configuration asks for and asyncpg does not do, where that changes no
            answer: one sentence each.
        statement_cache_size: How many prepared statements a connection keeps; 0: none, for behind a
            connection pooler such as PgBouncer. None for the default: 100 where the server itself
            is connected to, and 0 behind a pooler, which is detected.

    Raises:
        InvalidTypeError: One of these is of another type.
        InvalidInputError: A text that PostgreSQL cannot hold, or a number that is not a port.
    """

    name: str
    uuid: str | None = None
    host: str | tuple[str, ...] | None = None
    port: int | tuple[int, ...] | None = None
    database: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    default_user_email: str | None = None
    repository: Path | None = None
    backend: str = "core.psql_dos"
    pool_options: PoolOptions = field(default=(), repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    statement_cache_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("name", "backend"):
            _require_type(name, getattr(self, name), str)
        for name in ("uuid", "default_user_email"):
            _require_type(name, getattr(self, name), str, type(None))
        for name in ("database", "user", "password"):
            value = getattr(self, name)
            _require_type(name, value, str, type(None))
            if value is not None:
                require_text(value, f"the profile's {name}")
        _require_type("repository", self.repository, Path, type(None))
        if self.repository is not None and (problem := find_path_problem(str(self.repository))):
            raise InvalidInputError(f"the profile's repository is a path with {problem}")
        _require_type("pool_options", self.pool_options, tuple)
        if not all(map(_is_option, self.pool_options)):
            raise InvalidTypeError(
                "the profile's pool_options must be pairs of a name and a value that is hashable; "
                "the values of server_settings and dsn are such pairs of texts themselves"
            )
        _require_type("notes", self.notes, tuple)
        size = self.statement_cache_size
        _require_type("statement_cache_size", size, int, type(None))
        if size is not None and not 0 <= size < 2**31:
            raise InvalidInputError(
                f"the profile's statement_cache_size is {quote(size)}: give 0 or a number above it"
            )
        self._check_hosts()

    def _check_hosts(self) -> None:
        hosts = self.host if isinstance(self.host, tuple) else (self.host,)
        for host in hosts:
            _require_type("host", host, str, type(None))
            if host is not None:
                require_text(host, "the profile's host", quoted=True)
        ports = self.port if isinstance(self.port, tuple) else (self.port,)
        for port in ports:
            _require_type("port", port, int, type(None))
            if port is not None and not is_port(port):
                raise InvalidInputError(
                    f"the profile's port is {quote(port)}: give a number from 1 to 65535"
                )
        if isinstance(self.port, tuple) and len(ports) != len(hosts):
            given = f"{plural(len(ports), 'port')} for {plural(len(hosts), 'host')}"
            raise InvalidInputError(f"the profile has {given}")

    @classmethod
    def from_dsn(
        cls,
        dsn: str,
        *,
        name: str | None = None,
        default_user_email: str | None = None,
        repository: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Make a profile from a PostgreSQL URI.

        Args:
            dsn: ``postgresql://[user[:password]@][host[:port][,…]][/database][?key=value[&…]]``,
                read by the rules of libpq: Unix sockets (``%2Fvar%2Frun%2Fpostgresql`` as the host,
                or the key ``host``), several hosts, ``target_session_attrs``, TLS. What is special
                in a URI must be percent-encoded. The keys are those of
                :mod:`aiidadb.connecting.profiles.libpq_keys`, and ``statement_cache_size``.
            name: What to call the profile; by default as the database.
            default_user_email: The e-mail address of AiiDA's user.
            repository: The directory of the profile's files, or a ``file://`` URI of it.

        Returns:
            The profile; two of the same URI are equal and share a pool.

        Raises:
            ConfigurationError: It is not a PostgreSQL URI, or has a key that cannot be honoured.
                The message does not quote it.
            InvalidInputError: Another argument is of a wrong type, or not valid.
        """
        _require_type("dsn", dsn, str)
        dsn = Secret(dsn)
        _require_type("name", name, str, type(None))
        try:
            parameters = parse_dsn(dsn)
        except ConfigurationError as error:
            # The frames that it went through hold the password in their variables.
            raise error.with_traceback(None) from None
        directory = None
        if repository is not None:
            _require_type("repository", repository, str, os.PathLike)
            text = os.fspath(repository)
            _require_type("repository", text, str)
            directory = read_file_uri(text) if text.startswith("file:") else Path(text)
            if directory is None:
                raise ConfigurationError(
                    "the repository is not a file:// URI of an absolute path: give the directory"
                )
        return make_profile(
            cls,
            parameters,
            name=name or parameters.database or "postgresql",
            default_user_email=default_user_email,
            repository=directory,
        )

    def connect_arguments(self) -> dict[str, Any]:
        """Give what ``asyncpg.connect`` and ``asyncpg.create_pool`` need to reach the database.

        Returns:
            Keyword arguments, in new containers: ``host``, ``port``, ``database``, ``user``,
            ``password``, ``statement_cache_size`` as far as they are set, and where asked for
            ``ssl``, ``direct_tls``, ``target_session_attrs``, ``timeout`` (seconds; asyncpg's spans
            all hosts, so it is the ``connect_timeout`` of one times their number),
            ``server_settings``, ``passfile``, ``krbsrvname``, ``gsslib``, and ``dsn`` with the TLS
            files that asyncpg takes in no other way. Not for messages or logs: it contains the
            password.

        Raises:
            ConfigurationError: A file for TLS that would be needed does not exist.
        """
        # First what can fail, so that no frame of an error has the password.
        arguments = to_arguments(self.pool_options)
        for key in ("host", "port", "database", "user", "password"):
            value = getattr(self, key)
            if value is not None:
                arguments[key] = list(value) if isinstance(value, tuple) else value
        if self.statement_cache_size is not None:
            arguments["statement_cache_size"] = self.statement_cache_size
        if "connect_timeout" in arguments:
            seconds = arguments.pop("connect_timeout")
            hosts = len(self.host) if isinstance(self.host, tuple) else 1
            arguments["timeout"] = None if seconds is None else seconds * hosts
        return arguments


def name_of(profile: Profile) -> str:
    """A profile for a message: ``profile 'main'``, or ``database 'aiida'``.

    One that is called as its database, as those of a DSN are, is of no configuration that the
    reader could look into, or its name says nothing else.
    """
    if _is_called_as_its_database(profile):
        return f"database {quote(profile.database)}"
    return f"profile {quote(profile.name)}"


def without_default_user(profile: Profile) -> str:
    """Why there is no default user, for a message: a profile lacks it, a DSN cannot name it."""
    if _is_called_as_its_database(profile):
        return "a DSN names no default user"
    return f"{name_of(profile)} has no default user"


def how_to_give_default_user(profile: Profile) -> str:
    """What gives a profile a default user, for the advice of a message."""
    if _is_called_as_its_database(profile):
        return "open with Profile.from_dsn(dsn, default_user_email=…)"
    return "give the profile a default_user_email"


def _is_called_as_its_database(profile: Profile) -> bool:
    return profile.name == profile.database


def _require_type(name: str, value: object, *kinds: type) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        # Not quoted: a password, or what has one in it, can be given in the wrong place.
        names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise InvalidTypeError(
            f"the profile's {name} must be of type {names}, not {type(value).__name__}"
        )


def _is_option(option: object) -> bool:
    if not isinstance(option, tuple) or len(option) != 2 or not isinstance(option[0], str):
        return False
    name, value = option
    if name in ("dsn", "server_settings"):
        return isinstance(value, tuple) and all(map(_is_pair_of_texts, value))
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_pair_of_texts(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(one, str) for one in pair)


def require_profile(profile: object) -> None:
    """Refuse what is not a profile.

    Raises:
        InvalidTypeError: It is something else.
    """
    if not isinstance(profile, Profile):
        raise InvalidTypeError(
            f"this is not a profile, but of type {type(profile).__name__}: take one from "
            "load_profile() or Profile.from_dsn()"
        )


ProfileT = TypeVar("ProfileT", bound=Profile)


def make_profile(kind: type[ProfileT], parameters: ConnectionParameters, **fields: Any) -> ProfileT:
    """Give a profile the way to its database; ``fields`` are the others that it has."""
    return kind(
        host=parameters.host,
        port=parameters.port,
        database=parameters.database,
        user=parameters.user,
        password=parameters.password,
        pool_options=parameters.options,
        statement_cache_size=parameters.statement_cache_size,
        **fields,
    )


def read_file_uri(uri: str, *, encoded: bool = True) -> Path | None:
    """Give the path of a file:// URI; None where it is not one, or the path is relative."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    path = unquote(parts.path) if encoded else parts.path
    if parts.scheme != "file" or not path.startswith("/"):
        return None
    # Old configurations have four slashes; what follows file:// is the path, so two of it are one.
    return Path("/" + path.lstrip("/"))
