"""Reads profiles from AiiDA's ``config.json``, of every version.

Source: aiida-core 0.12 to 2.9, ``aiida.manage.configuration`` and, for 0.x, ``aiida.common.setup``.
AiiDA brings an old file up to date when it opens it; here every version is read as it is, and
nothing is written or created.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiidadb.arguments import find_path_problem
from aiidadb.connecting.profiles.libpq_keys import (
    ADVISORY_KEYS,
    LIBPQ_KEYS,
    is_harmless,
    parse_port,
    translate_keys,
)
from aiidadb.connecting.profiles.profile import Profile, make_profile, read_file_uri
from aiidadb.exceptions import (
    AiidaDbError,
    ConfigurationError,
    ConfigurationVersionError,
    InvalidTypeError,
    MissingConfigurationError,
    ProfileConfigurationError,
)
from aiidadb.messages import did_you_mean, quote
from aiidadb.text import find_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["load_profile"]

NEWEST_CONFIG_VERSION: Final = 10
FIRST_MAYBE_DECODED: Final = 9
CONFIG_FILE: Final = "config.json"
CONFIG_DIRECTORY: Final = ".aiida"

_PATH_VARIABLE: Final = "AIIDA_PATH"
_OR_GIVE: Final = (
    "give config= or a DSN",
    "give --config or --dsn",
)  # in Python, on a command line

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

_POSTGRESQL_ONLY: Final = "this library supports only profiles stored in PostgreSQL"


def load_profile(
    name: str | None = None, *, config: str | os.PathLike[str] | None = None
) -> Profile:
    """Read a profile from AiiDA's configuration, of any version from 0 to 10.

    Args:
        name: The profile; None for the default one.
        config: The ``config.json``, or the directory that it is in. By default it is looked for as
            AiiDA does: in the first directory of the variable ``AIIDA_PATH`` that exists (each with
            ``.aiida`` behind it unless it ends so), and in ``~/.aiida`` where the variable is not
            set. A directory that this process may not look into is skipped.

    Returns:
        The profile.

    Raises:
        MissingConfigurationError: There is no such file.
        ConfigurationVersionError: The file is of a version after 10.
        ProfileConfigurationError: There is no such profile, it is not in PostgreSQL, or something
            in it is missing or wrong; the message names file and key.
        ConfigurationError: The file cannot be read, or is not a configuration.
        InvalidTypeError: The name is not a string, or ``config`` is not a path.
    """
    if name is not None and not isinstance(name, str):
        raise InvalidTypeError(f"a profile's name is a string, not {quote(name)}")
    if config is not None and not isinstance(config, str | os.PathLike):
        raise InvalidTypeError(f"config must be a path, not {quote(config)}")
    try:
        return _load_profile(name, config)
    except AiidaDbError as error:
        # The frames that it went through hold the passwords of all profiles in their variables.
        raise error.with_traceback(None) from error.__cause__


def _load_profile(name: str | None, config: str | os.PathLike[str] | None) -> Profile:
    path = _find_config() if config is None else _expanded(config)
    if _is_directory(path):
        path /= CONFIG_FILE
    top = _Section(path, "", _read_json(path, is_named=config is not None))
    version = _read_version(top)
    profiles = top.section("profiles") if "profiles" in top.values else _Section(path, "", {})
    chosen = _default_profile(top, version) if name is None else name
    if chosen is None or chosen not in profiles.values:
        raise _no_profile(path, chosen, sorted(profiles.values), is_default=name is None)
    return _read_profile(chosen, profiles.section(chosen), version)


def _no_profile(
    path: Path, name: str | None, known: Sequence[str], *, is_default: bool
) -> ProfileConfigurationError:
    if not known:
        return ProfileConfigurationError(
            f"{path} has no profiles",
            advice="create one with AiiDA (verdi presto, verdi profile setup), or give a DSN",
            command_advice="create one with AiiDA (verdi presto, verdi profile setup), or give "
            "--dsn",
        )
    if is_default:
        return ProfileConfigurationError(
            f"{path} has no default profile"
            if name is None
            else f"{path}: its default profile is {quote(name)}, which it does not have",
            advice=f"name one of {', '.join(known)}",
            command_advice=f"give --profile with one of {', '.join(known)}",
        )
    return ProfileConfigurationError(
        f"{path} has no profile {quote(name)}; its profiles are {', '.join(known)}",
        advice=did_you_mean(name, known) or None,
    )


@dataclass(frozen=True)
class _Section:
    """A JSON object of the configuration that knows its own place in it."""

    path: Path
    place: str
    values: Mapping[str, object] = field(repr=False)  # passwords are among them

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
            raise self.error(key, "is not an object")
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
            raise self.error(key, "is not text")
        return value or None


def _find_config() -> Path:
    """Find AiiDA's directory as AiiDA 2 does, but create none."""
    bases = [base for base in os.environ.get(_PATH_VARIABLE, "").split(os.pathsep) if base]
    directories: list[Path] = []
    refused: ConfigurationError | None = None
    for base in bases or ["~"]:
        try:
            directory = _directory_of(base)
            directories.append(directory)
            if _is_directory(directory):
                _require_access(directory)
                return directory
        except ConfigurationError as error:
            refused = error
    if refused is not None:
        raise refused
    raise _nothing_found(directories)


def _nothing_found(places: Iterable[Path]) -> MissingConfigurationError:
    looked = f"looked for {', '.join(map(str, places))}"
    return MissingConfigurationError(
        "no AiiDA configuration found",
        **_advice(f"{looked}; "),
    )


def _advice(looked: str = "") -> dict[str, str]:
    """What to do where no configuration is found; a variable that is set can be wrong."""
    paths = os.environ.get(_PATH_VARIABLE)
    what = f"{_PATH_VARIABLE} is {quote(paths)}: correct it" if paths else f"set {_PATH_VARIABLE}"
    python, command = (f"{looked}{what}, or {give}" for give in _OR_GIVE)
    return {"advice": python, "command_advice": command}


def _directory_of(base: str) -> Path:
    try:
        directory = Path(base).expanduser()
    except RuntimeError as error:
        raise MissingConfigurationError(
            "AiiDA's configuration is looked for in the home directory, which is not known "
            f"({error})",
            **_advice(),
        ) from error
    return directory if directory.name == CONFIG_DIRECTORY else directory / CONFIG_DIRECTORY


def _require_access(directory: Path) -> None:
    """Refuse a directory that this process may not look into.

    Raises:
        ConfigurationError: It is one.
    """
    try:
        (directory / CONFIG_FILE).stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        message = f"{quote(str(directory))} cannot be read: {error.strerror}"
        raise ConfigurationError(message) from error


def _expanded(config: str | os.PathLike[str]) -> Path:
    try:
        return Path(config).expanduser()
    except RuntimeError as error:
        raise MissingConfigurationError(f"{quote(os.fspath(config))}: {error}") from error


def _is_directory(path: Path) -> bool:
    """Whether this is a directory.

    Raises:
        ConfigurationError: It cannot be determined, for instance where a parent directory cannot be
            read.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigurationError(f"{quote(str(path))} cannot be read: {error.strerror}") from error
    except ValueError:  # a NUL character, or a lone surrogate
        raise MissingConfigurationError(f"no file can have the name {quote(str(path))}") from None


def _read_file(path: Path) -> bytes:
    # A named pipe would be waited for without end, and a device be read without end.
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ConfigurationError(f"{path} is not a file")
    return path.read_bytes()


def _read_json(path: Path, *, is_named: bool) -> Mapping[str, object]:
    try:
        content = json.loads(_read_file(path))
    except FileNotFoundError:
        raise (_not_there(path) if is_named else _nothing_found([path])) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    # The originals carry the file's content, passwords included, so they are not chained.
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{path} is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from None
    except (ValueError, RecursionError):  # no UTF-8, a number too long, too deep
        raise ConfigurationError(f"{path} is not valid JSON") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is not a configuration: it does not hold a JSON object")
    return content


def _not_there(path: Path) -> MissingConfigurationError:
    inside = path.parent / CONFIG_DIRECTORY
    try:
        is_inside = (inside / CONFIG_FILE).is_file()
    except OSError:
        is_inside = False
    meant = f"did you mean {quote(str(inside))}?" if is_inside else None
    return MissingConfigurationError(
        f"there is no configuration file {path}",
        advice=meant or "check config=",
        command_advice=meant or "check --config",
    )


def _read_version(top: _Section) -> int:
    if "CONFIG_VERSION" not in top.values:
        return 0
    versions = top.section("CONFIG_VERSION")
    version = versions.values.get("CURRENT", 0)
    if type(version) is not int or version < 0:
        raise versions.error("CURRENT", "is not a version number")
    if version > NEWEST_CONFIG_VERSION:
        raise ConfigurationVersionError(
            f"{top.path}: CONFIG_VERSION.CURRENT is {version}, written by a newer AiiDA than this "
            f"library knows, which reads versions up to {NEWEST_CONFIG_VERSION}: update it, or run "
            f"`verdi config downgrade {NEWEST_CONFIG_VERSION}`"
        )
    return version


def _default_profile(top: _Section, version: int) -> str | None:
    """Give the default profile: up to version 2 there was one for each kind of process."""
    if version < 3 and "default_profiles" in top.values:
        for_process = top.section("default_profiles")
        return for_process.text("daemon") or for_process.text("verdi")
    return top.text("default_profile")


def _read_profile(name: str, profile: _Section, version: int) -> Profile:
    backend, config, keys = _read_storage(profile, version)
    engine = config.text(keys["engine"])
    if engine is not None and not engine.startswith("postgresql"):
        raise config.error(keys["engine"], f"is {quote(engine)}: {_POSTGRESQL_ONLY}")
    for key in ("host", "password"):
        config.require(keys[key])
    for key in ("host", "database", "user", "password"):
        if problem := find_problem(config.text(keys[key]) or ""):
            raise config.error(keys[key], f"holds {problem}")
    connect_args, advice = _read_connect_args(config)
    parameters = translate_keys(
        {
            "host": config.text(keys["host"]) or "",
            "port": _read_port(config, keys["port"]),
            "dbname": config.required_text(keys["database"]),
            "user": config.required_text(keys["user"]),
            "password": config.text(keys["password"]) or "",
            **connect_args,
        },
        where=f"{config.path}: {config.place}",
    )
    repository = None
    if uri := config.text(keys["repository"]):
        repository = _read_repository(uri, version)
        if repository is None:
            raise config.error(keys["repository"], "is not a file:// URI of an absolute path")
        if problem := find_path_problem(str(repository)):
            raise config.error(keys["repository"], f"is a path with {problem}")
    notes = tuple(
        f"{config.path}: {config.place}.engine_kwargs.connect_args.{key} is not used: "
        "asyncpg, the driver, does not set it"
        for key in advice
    )
    return make_profile(
        Profile,
        parameters,
        name=name,
        uuid=profile.text("PROFILE_UUID"),
        default_user_email=profile.text("default_user_email"),
        repository=repository,
        backend=backend,
        notes=notes,
    )


def _read_repository(uri: str, version: int) -> Path | None:
    """Give the directory of the files; None where this is not a URI of one.

    AiiDA put the path behind file:// as it was up to version 8 of the configuration. AiiDA 2.7
    decodes it, and files of version 9 are from before or after that: there the directory that
    exists is the one.
    """
    if version < FIRST_MAYBE_DECODED:
        return read_file_uri(uri, encoded=False)
    decoded = read_file_uri(uri)
    plain = read_file_uri(uri, encoded=False)
    if version == FIRST_MAYBE_DECODED and decoded != plain and plain is not None:
        with contextlib.suppress(OSError, ValueError):
            if not (decoded and decoded.exists()) and plain.exists():
                return plain
    return decoded


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
        raise section.error(key, f"is {quote(backend)}: {_POSTGRESQL_ONLY}")
    return backend, profile if keys is _OLD_KEYS else section.section("config"), keys


def _read_port(config: _Section, key: str) -> str:
    value = config.require(key)
    if value is None or value == "":
        return ""
    if not isinstance(value, int | str) or parse_port(str(value)) is None:
        raise config.error(
            key, f"is {quote(value)}, which is not a port: give a number from 1 to 65535"
        )
    return str(value)


def _read_connect_args(config: _Section) -> tuple[dict[str, str], list[str]]:
    """Give libpq's keys among what AiiDA 2 hands on to SQLAlchemy for its driver.

    The driver's own keys and the options of SQLAlchemy's pool mean nothing to asyncpg.

    Returns:
        The keys with their values, and the names of those that are only hints, which are ignored.
    """
    keys: dict[str, str] = {}
    advice: list[str] = []
    if "engine_kwargs" not in config.values:
        return keys, advice
    engine = config.section("engine_kwargs")
    if "connect_args" not in engine.values:
        return keys, advice
    arguments = engine.section("connect_args")
    for key, value in arguments.values.items():
        if key not in LIBPQ_KEYS or value is None:
            continue
        if not isinstance(value, str | int | float):
            raise arguments.error(key, "is neither text nor a number")
        text = str(int(value)) if isinstance(value, bool) else str(value)
        if key in ADVISORY_KEYS and not is_harmless(key, text):
            advice.append(key)
        else:
            keys[key] = text
    return keys, advice
