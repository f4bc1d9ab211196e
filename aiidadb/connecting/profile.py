"""Profiles: which database, as whom, with which files; from AiiDA's ``config.json`` or a DSN.

Source: aiida-core 0.12 to 2.9, ``aiida.manage.configuration`` and, for 0.x, ``aiida.common.setup``.
AiiDA brings an old file up to date when it opens it; here every version is read as it is, and
nothing is written or created.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import unquote, urlsplit

from aiidadb.connecting.dsn import (
    LIBPQ_KEYS,
    ConnectionParameters,
    PoolOptions,
    parse_dsn,
    parse_port,
    to_arguments,
    translate_keys,
)
from aiidadb.exceptions import (
    ConfigurationError,
    ConfigurationVersionError,
    MissingConfigurationError,
    ProfileConfigurationError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Profile", "load_profile"]

NEWEST_CONFIG_VERSION: Final = 10
CONFIG_FILE: Final = "config.json"
CONFIG_DIRECTORY: Final = ".aiida"

POSTGRESQL_BACKENDS: Final = ("core.psql_dos", "psql_dos", "django", "sqlalchemy")

# What the same things are called up to version 5 of the configuration, and from 6 on.
_OLD_KEYS: Final[Mapping[str, str]] = {
    "engine": "AIIDADB_ENGINE",
    "host": "AIIDADB_HOST",
    "port": "AIIDADB_PORT",
    "user": "AIIDADB_USER",
    "password": "AIIDADB_PASS",
    "database": "AIIDADB_NAME",
    "repository": "AIIDADB_REPOSITORY_URI",
}
_NEW_KEYS: Final[Mapping[str, str]] = {
    "engine": "database_engine",
    "host": "database_hostname",
    "port": "database_port",
    "user": "database_username",
    "password": "database_password",
    "database": "database_name",
    "repository": "repository_uri",
}


_POSTGRESQL_ONLY: Final = "this library serves profiles kept in PostgreSQL only"


@dataclass(frozen=True)
class Profile:
    """A database of AiiDA and what belongs to it. Nothing is opened or looked at by making one.

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
            ``db_dbuser.email``; None where none is set.
        repository: The directory of the files, AiiDA's ``repository_uri`` without ``file://``. From
            AiiDA 2 on the files are in its subdirectory ``container``.
        backend: AiiDA's name for the way it stores, as the configuration has it. It does not tell
            which schema the database has: that the database itself tells.
        pool_options: What else the DSN or the configuration wants ``asyncpg.create_pool`` to be
            given; read it with :meth:`connect_arguments`.
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
    backend: str = POSTGRESQL_BACKENDS[0]
    pool_options: PoolOptions = field(default=(), repr=False)

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
                in a URI must be percent-encoded. See :mod:`aiidadb.connecting.dsn` for the keys.
            name: What to call the profile; by default as the database.
            default_user_email: The e-mail address of AiiDA's user.
            repository: The directory of the profile's files, or a ``file://`` URI of it.

        Returns:
            The profile; two of the same URI are equal and share a pool.

        Raises:
            ConfigurationError: It is no PostgreSQL URI, or has a key that cannot be honoured. The
                message does not quote it.
        """
        parameters = parse_dsn(dsn)
        directory = None
        if repository is not None:
            text = os.fspath(repository)
            directory = _read_file_uri(text) if text.startswith("file:") else Path(text)
            if directory is None:
                raise ConfigurationError(
                    "the repository is no file:// URI of an absolute path: give the directory"
                )
        return _make(
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
            ``password`` as far as they are set, and where asked for ``ssl``, ``direct_tls``,
            ``target_session_attrs``, ``timeout`` (seconds, for all hosts together),
            ``server_settings``, ``passfile``, ``krbsrvname``, ``gsslib``, and ``dsn`` with the TLS
            files that asyncpg takes in no other way. Not for messages or logs: the password is in.

        Raises:
            ConfigurationError: A file for TLS that would be needed is not there.
        """
        arguments: dict[str, Any] = {}
        for key in ("host", "port", "database", "user", "password"):
            value = getattr(self, key)
            if value is not None:
                arguments[key] = list(value) if isinstance(value, tuple) else value
        return arguments | to_arguments(self.pool_options)


_ProfileT = TypeVar("_ProfileT", bound=Profile)


def load_profile(
    name: str | None = None, *, config: str | os.PathLike[str] | None = None
) -> Profile:
    """Read a profile from AiiDA's configuration, of any version from 0 to 10.

    Args:
        name: The profile; None for the default one.
        config: The ``config.json``, or the directory that it is in. By default it is looked for as
            AiiDA does: in the first directory of the variable ``AIIDA_PATH`` that exists (each with
            ``.aiida`` behind it unless it ends so), and in ``~/.aiida`` where the variable is not
            set.

    Returns:
        The profile.

    Raises:
        MissingConfigurationError: There is no such file.
        ConfigurationVersionError: The file is of a version after 10.
        ProfileConfigurationError: There is no such profile, it is not in PostgreSQL, or something
            in it is missing or wrong; the message names file and key.
        ConfigurationError: The file cannot be read, or is no configuration.
    """
    path = _find_config() if config is None else Path(config).expanduser()
    if path.is_dir():
        path /= CONFIG_FILE
    top = _Section(path, "", _read_json(path))
    version = _read_version(top)
    profiles = top.section("profiles") if "profiles" in top.values else _Section(path, "", {})
    chosen = _default_profile(top, version) if name is None else name
    if chosen is None or chosen not in profiles.values:
        there = ", ".join(sorted(profiles.values)) or "none"
        what = "no default profile" if chosen is None else f"no profile {chosen!r}"
        raise ProfileConfigurationError(f"{path} has {what}; there are: {there}")
    return _read_profile(chosen, profiles.section(chosen), version)


def _make(kind: type[_ProfileT], parameters: ConnectionParameters, **fields: Any) -> _ProfileT:
    return kind(
        host=parameters.host,
        port=parameters.port,
        database=parameters.database,
        user=parameters.user,
        password=parameters.password,
        pool_options=parameters.options,
        **fields,
    )


@dataclass(frozen=True)
class _Section:
    """A JSON object of the configuration that can tell where it is."""

    path: Path
    place: str
    values: Mapping[str, object]

    def error(self, key: str, what: str) -> ProfileConfigurationError:
        where = f"{self.place}.{key}" if self.place else key
        return ProfileConfigurationError(f"{self.path}: {where} {what}")

    def require(self, key: str) -> object:
        if key not in self.values:
            raise self.error(key, "is missing")
        return self.values[key]

    def section(self, key: str) -> _Section:
        values = self.require(key)
        if not isinstance(values, dict):
            raise self.error(key, "is no object")
        return _Section(self.path, f"{self.place}.{key}" if self.place else key, values)

    def required_text(self, key: str) -> str:
        self.require(key)
        if (value := self.text(key)) is None:
            raise self.error(key, "is empty")
        return value

    def text(self, key: str) -> str | None:
        """Give a text; None where it is null, empty or not there."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(key, "is no text")
        return value or None


def _find_config() -> Path:
    """Find AiiDA's directory as AiiDA 2 does, but make none."""
    bases = [base for base in os.environ.get("AIIDA_PATH", "").split(os.pathsep) if base]
    try:
        directories = [Path(base).expanduser() for base in bases or ["~"]]
    except RuntimeError as error:
        raise MissingConfigurationError(
            f"AiiDA's configuration is looked for in a home directory, and there is none: {error}"
        ) from error
    directories = [
        directory if directory.name == CONFIG_DIRECTORY else directory / CONFIG_DIRECTORY
        for directory in directories
    ]
    for directory in directories:
        if directory.is_dir():
            return directory
    raise MissingConfigurationError(
        f"there is no configuration of AiiDA: looked for {', '.join(map(str, directories))}; "
        "set AIIDA_PATH, or give config="
    )


def _read_json(path: Path) -> Mapping[str, object]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise MissingConfigurationError(
            f"there is no configuration file {path}: set AIIDA_PATH, or give config="
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    # The originals carry the file's content, passwords included, so they are not passed on.
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from None
    except (ValueError, RecursionError):  # no UTF-8, a number too long, too deep
        raise ConfigurationError(f"{path} is no JSON") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is no configuration: it holds no JSON object")
    return content


def _read_version(top: _Section) -> int:
    if "CONFIG_VERSION" not in top.values:
        return 0
    versions = top.section("CONFIG_VERSION")
    version = versions.values.get("CURRENT", 0)
    if type(version) is not int or version < 0:
        raise versions.error("CURRENT", "is no version number")
    if version > NEWEST_CONFIG_VERSION:
        raise ConfigurationVersionError(
            f"{top.path}: CONFIG_VERSION.CURRENT is {version}, written by a newer AiiDA than this "
            f"library knows, which reads versions up to {NEWEST_CONFIG_VERSION}: update it, or run "
            f"`verdi config downgrade {NEWEST_CONFIG_VERSION}`"
        )
    return version


def _default_profile(top: _Section, version: int) -> str | None:
    """Give the default profile: up to version 2 one was set for each kind of process."""
    if version < 3 and "default_profiles" in top.values:
        for_process = top.section("default_profiles")
        return for_process.text("daemon") or for_process.text("verdi")
    return top.text("default_profile")


def _read_profile(name: str, profile: _Section, version: int) -> Profile:
    backend, config, keys = _read_storage(profile, version)
    engine = config.text(keys["engine"])
    if engine is not None and not engine.startswith("postgresql"):
        raise config.error(keys["engine"], f"is {engine!r}: {_POSTGRESQL_ONLY}")
    for key in ("host", "password"):
        config.require(keys[key])
    parameters = translate_keys(
        {
            "host": config.text(keys["host"]) or "",
            "port": _read_port(config, keys["port"]),
            "dbname": config.required_text(keys["database"]),
            "user": config.required_text(keys["user"]),
            "password": config.text(keys["password"]) or "",
            **_read_connect_args(config),
        },
        where=f"{config.path}: {config.place}",
    )
    repository = None
    if uri := config.text(keys["repository"]):
        # As long as the old keys were in use, AiiDA put the path behind file:// as it was.
        repository = _read_file_uri(uri, encoded=keys is _NEW_KEYS)
        if repository is None:
            raise config.error(keys["repository"], "is no file:// URI of an absolute path")
    return _make(
        Profile,
        parameters,
        name=name,
        uuid=profile.text("PROFILE_UUID"),
        default_user_email=profile.text("default_user_email"),
        repository=repository,
        backend=backend,
    )


def _read_storage(profile: _Section, version: int) -> tuple[str, _Section, Mapping[str, str]]:
    """Give the backend, the object that says where the database is, and its keys."""
    if version < 6 and "storage" not in profile.values:
        section, key, keys = profile, "AIIDADB_BACKEND", _OLD_KEYS
        # Before there was a second backend, none was named.
        backend = profile.text(key) or "django"
    else:
        section, key, keys = profile.section("storage"), "backend", _NEW_KEYS
        backend = section.required_text(key)
    if backend not in POSTGRESQL_BACKENDS:
        raise section.error(key, f"is {backend!r}: {_POSTGRESQL_ONLY}")
    return backend, profile if keys is _OLD_KEYS else section.section("config"), keys


def _read_port(config: _Section, key: str) -> str:
    value = config.require(key)
    if value is None or value == "":
        return ""
    if not isinstance(value, int | str) or parse_port(str(value)) is None:
        raise config.error(key, f"is {value!r}, which is no port: give a number from 1 to 65535")
    return str(value)


def _read_connect_args(config: _Section) -> dict[str, str]:
    """Give libpq's keys among what AiiDA 2 hands on to SQLAlchemy for its driver.

    The driver's own keys and SQLAlchemy's options of its pool say nothing to asyncpg.
    """
    if "engine_kwargs" not in config.values:
        return {}
    engine = config.section("engine_kwargs")
    if "connect_args" not in engine.values:
        return {}
    arguments = engine.section("connect_args")
    keys: dict[str, str] = {}
    for key, value in arguments.values.items():
        if key not in LIBPQ_KEYS or value is None:
            continue
        if not isinstance(value, str | int | float):
            raise arguments.error(key, "is no text and no number")
        keys[key] = str(int(value)) if isinstance(value, bool) else str(value)
    return keys


def _read_file_uri(uri: str, *, encoded: bool = True) -> Path | None:
    """Give the path of a file:// URI, or None where it is no such URI or the path is relative."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    path = unquote(parts.path) if encoded else parts.path
    if parts.scheme != "file" or not path.startswith("/"):
        return None
    # Old configurations have four slashes; what follows file:// is the path, so two of it are one.
    return Path("/" + path.lstrip("/"))
