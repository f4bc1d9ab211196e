"""libpq's connection keys in asyncpg's terms.

asyncpg reads URIs itself, but sends every key that it does not know to the server as a session
setting, and some of libpq's keys are among these: ``connect_timeout`` makes the server refuse the
connection, a mistyped ``sslmod`` as well. So each of libpq's keys becomes here what asyncpg calls
it, or is dropped because asyncpg does so anyway, or is refused with the reason.

Nothing is read: certificates, password files and the variables ``PGHOST``, ``PGPASSWORD`` and so on
are left to asyncpg when it connects.

Source: PostgreSQL 18's manual, "Database Connection Control Functions"; ``connect_utils.py`` of
asyncpg 0.30 to 0.32.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote as percent_encode
from urllib.parse import urlencode

from aiidadb.exceptions import ConfigurationError
from aiidadb.messages import did_you_mean, plural, quote
from aiidadb.text import find_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ADVISORY_KEYS",
    "LIBPQ_KEYS",
    "SERVER_KINDS",
    "ConnectionParameters",
    "PoolOptions",
    "is_harmless",
    "is_port",
    "parse_port",
    "to_arguments",
    "translate_keys",
]

PoolOption: TypeAlias = str | float | bool | tuple[tuple[str, str], ...] | None

PoolOptions: TypeAlias = tuple[tuple[str, PoolOption], ...]
"""Keyword arguments for ``asyncpg.create_pool``, hashable: ``server_settings`` is a tuple of pairs,
and so is ``dsn``, the query of a URI with what asyncpg takes in no other way."""

DEFAULT_PORT: Final = 5432


@dataclass(frozen=True)
class ConnectionParameters:
    """Where a database is and how to connect to it; None leaves it to libpq's defaults.

    Attributes:
        host: Name, address, or directory of a Unix socket; a tuple of several to be tried in turn.
        port: One for all hosts, or a tuple with one each.
        database: Its name.
        user: The role.
        password: The role's password.
        options: What else ``asyncpg.create_pool`` is to be given.
        statement_cache_size: How many prepared statements a connection keeps.
    """

    host: str | tuple[str, ...] | None = None
    port: int | tuple[int, ...] | None = None
    database: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    options: PoolOptions = field(default=(), repr=False)
    statement_cache_size: int | None = None


SERVER_KINDS: Final = (
    "any", "read-write", "read-only", "primary", "standby", "prefer-standby",
)  # fmt: skip
"""What ``target_session_attrs`` can be."""

# Keys of one of several values that asyncpg knows, under asyncpg's name.
_CHOICES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "sslmode": ("ssl", ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")),
    "target_session_attrs": ("target_session_attrs", SERVER_KINDS),
    "gsslib": ("gsslib", ("gssapi", "sspi")),
}

# Keys that asyncpg knows by the same name, as an argument …
_SAME: Final = ("passfile", "krbsrvname")

# … and keys that it takes in a URI alone, so they go to it in one that has nothing else. Files are
# looked at in every mode but "disable", or only where the server's certificate is.
_OWN_FILES: Final = ("sslcert", "sslkey")
_SERVER_FILES: Final = ("sslrootcert", "sslcrl")
_IN_URI: Final = (
    *_OWN_FILES,
    *_SERVER_FILES,
    "sslpassword",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)

_NO_KEEPALIVES = (
    "asyncpg sets no keepalives; the server can, with options=-c%20tcp_keepalives_idle=SECONDS"
)
_NO_SERVICE = "write what the service file says into the URI"
_NO_SCRAM_KEYS = "asyncpg logs in with passwords, not with their keys"
_NO_OAUTH = "asyncpg does not log in with OAuth"

# Keys that asyncpg does not support: the values with which libpq does as asyncpg does, and what to
# say of any other value.
_ABSENT: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "channel_binding": (("disable", "prefer"), "asyncpg does not bind passwords to TLS channels"),
    "client_encoding": (("utf8", "utf-8", "unicode"), "asyncpg speaks UTF-8"),
    "gssdelegation": (("0",), "asyncpg does not delegate GSSAPI credentials"),
    "gssencmode": (("disable", "prefer"), "asyncpg encrypts with TLS, not with GSSAPI"),
    "keepalives": (("0",), _NO_KEEPALIVES),
    "keepalives_count": ((), _NO_KEEPALIVES),
    "keepalives_idle": ((), _NO_KEEPALIVES),
    "keepalives_interval": ((), _NO_KEEPALIVES),
    "load_balance_hosts": (("disable",), "asyncpg tries the hosts in the order given"),
    "max_protocol_version": (("3.0", "3.2", "latest"), "asyncpg speaks version 3.0"),
    "min_protocol_version": (("3.0",), "asyncpg speaks version 3.0"),
    "oauth_client_id": ((), _NO_OAUTH),
    "oauth_client_secret": ((), _NO_OAUTH),
    "oauth_issuer": ((), _NO_OAUTH),
    "oauth_scope": ((), _NO_OAUTH),
    "replication": (("0", "false", "no", "off"), "asyncpg has no replication connections"),
    "require_auth": ((), "asyncpg cannot choose how the server asks for the password"),
    "requirepeer": ((), "asyncpg does not check who owns the server's process"),
    "requiressl": (("0",), "use sslmode=require"),
    "scram_client_key": ((), _NO_SCRAM_KEYS),
    "scram_server_key": ((), _NO_SCRAM_KEYS),
    "service": ((), _NO_SERVICE),
    "servicefile": ((), _NO_SERVICE),
    "sslcertmode": (("allow",), "asyncpg sends a client certificate where it has one"),
    "sslcompression": (("0",), "asyncpg does not compress"),
    "sslcrldir": ((), "asyncpg takes one file of revoked certificates: use sslcrl"),
    "sslkeylogfile": ((), "set the variable SSLKEYLOGFILE instead"),
    "sslsni": (("1",), "asyncpg always sends the host name in the TLS handshake"),
    "tcp_user_timeout": (
        ("0",),
        "asyncpg does not set it: leave it out (in Python, command_timeout limits statements)",
    ),
}

_MANUAL: Final = "see 'Parameter Key Words' in PostgreSQL's manual"

_TLS_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")

LIBPQ_KEYS: Final = frozenset(
    {
        "application_name",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "host",
        "hostaddr",
        "options",
        "password",
        "port",
        "sslnegotiation",
        "user",
        *_CHOICES,
        *_SAME,
        *_IN_URI,
        *_ABSENT,
    }
)
"""The keys that :func:`translate_keys` knows: libpq's, and ``gsslib`` as asyncpg has it."""

# Ours, because what is between client and server is a matter of the way to the database.
_CACHE_SIZE: Final = "statement_cache_size"

ADVISORY_KEYS: Final = frozenset(
    {
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "sslcompression",
        "tcp_user_timeout",
    }
)
"""Those that asyncpg does not support, and without which the same is read and written."""


def translate_keys(keys: Mapping[str, str], *, where: str) -> ConnectionParameters:
    """Put libpq's connection keys in asyncpg's terms.

    Args:
        keys: Values as text by libpq's name, and ``statement_cache_size``, which libpq does not
            have; an empty value is none.
        where: What has these keys, for messages: ``"the DSN"``.

    Returns:
        The same for asyncpg, except for ``connect_timeout``, which stays as it is: asyncpg's own
        ``timeout`` spans all hosts.

    Raises:
        ConfigurationError: There is no such key, asyncpg does not support it, or the value is not
            one that it can have.
    """
    _refuse_what_cannot_be(keys, where)
    given = {key: value for key, value in keys.items() if value != ""}
    host, port = _hosts_and_ports(given, where)
    options: dict[str, PoolOption] = {}
    for key, (name, choices) in _CHOICES.items():
        if key in given:
            options[name] = _choose(key, given[key], choices, where)
    for key in _SAME:
        if key in given:
            options[key] = given[key]
    options.update(_certificates(given, where))
    if "connect_timeout" in given:
        options["connect_timeout"] = _timeout(given["connect_timeout"], where)
    if settings := _server_settings(given, where):
        options["server_settings"] = tuple(sorted(settings.items()))
    return ConnectionParameters(
        host=host,
        port=port,
        database=given.get("dbname"),
        user=given.get("user"),
        password=given.get("password"),
        options=tuple(sorted(options.items())),
        statement_cache_size=_cache_size(given, where),
    )


def parse_port(text: str) -> int | None:
    """Read a port.

    Args:
        text: Digits.

    Returns:
        The port, or None where the text is not a number from 1 to 65535.
    """
    digits = text.isascii() and text.isdigit() and len(text) <= 9
    return int(text) if digits and is_port(int(text)) else None


def is_harmless(key: str, value: str) -> bool:
    """Whether asyncpg does what this key with this value asks for; an empty value is none."""
    return not value or key not in _ABSENT or value.lower() in _ABSENT[key][0]


def is_port(number: int) -> bool:
    """Whether a number is one that a server can listen at."""
    return 1 <= number <= 65535


def to_arguments(options: PoolOptions) -> dict[str, Any]:
    """Give pool options as asyncpg takes them.

    Args:
        options: As :func:`translate_keys` gives them.

    Returns:
        Keyword arguments for ``asyncpg.create_pool``, in new containers.

    Raises:
        ConfigurationError: A file for TLS that would be needed does not exist. asyncpg's own error
            does not say which.
    """
    arguments: dict[str, Any] = dict(options)
    if "server_settings" in arguments:
        arguments["server_settings"] = dict(arguments["server_settings"])
    if "dsn" in arguments:
        keys = dict(arguments["dsn"])
        mode = arguments.get("ssl", "prefer")
        files = _OWN_FILES if mode in ("allow", "prefer") else _OWN_FILES + _SERVER_FILES
        for key in files if mode != "disable" else ():
            if key in keys and not Path(keys[key]).is_file():
                raise ConfigurationError(f"there is no file {keys[key]}, which {key} names")
        arguments["dsn"] = "postgresql://?" + urlencode(keys, quote_via=percent_encode)
    return arguments


def _refuse_what_cannot_be(keys: Mapping[str, str], where: str) -> None:
    for key, value in keys.items():
        if key not in LIBPQ_KEYS and key != _CACHE_SIZE:
            meant = did_you_mean(key, {*LIBPQ_KEYS, _CACHE_SIZE}, cutoff=0.8)
            raise ConfigurationError(
                f"{where} has an unknown parameter {quote(key)}",
                advice=meant
                or f"{_MANUAL}; options of the pool go to open_backend() or get_pool() (only "
                f"{_CACHE_SIZE} can be here too), settings of the server into "
                "options=-c%20name=value",
                command_advice=meant
                or f"check its spelling, or remove it: {_MANUAL}; a setting of the server is "
                "written options=-c%20name=value",
            )
        if problem := find_problem(value):
            raise ConfigurationError(f"{where} has for {key} {problem}")
        if not is_harmless(key, value):
            reason = _ABSENT[key][1]
            raise ConfigurationError(f"{where} asks for {key}, which is not supported: {reason}")


def _hosts_and_ports(
    given: Mapping[str, str], where: str
) -> tuple[str | tuple[str, ...] | None, int | tuple[int, ...] | None]:
    if "host" in given and "hostaddr" in given:
        raise ConfigurationError(
            f"{where} has host and hostaddr, of which asyncpg takes one: leave the other out"
        )
    text = given.get("host") or given.get("hostaddr")
    hosts = tuple(text.split(",")) if text else ()
    for host in hosts:
        if not host:
            raise ConfigurationError(f"{where} has an empty host among its hosts: name each")
        if not host.startswith("/") and re.search(r"[\s/@?#&=]", host):
            raise ConfigurationError(
                f"{where} has a host that is neither a name nor an address. What is special "
                "in user and password is percent-encoded, %40 for @; the directory of a Unix "
                "socket begins with /, in front of the ? of a URI with %2F"
            )
    ports: list[int] = []
    for digits in given["port"].split(",") if "port" in given else ():
        port = parse_port(digits) if digits else DEFAULT_PORT
        if port is None:
            raise ConfigurationError(
                f"{where} has the port {quote(digits)}: give a number from 1 to 65535"
            )
        ports.append(port)
    if len(ports) > 1 and len(ports) != len(hosts):
        raise ConfigurationError(
            f"{where} has {plural(len(ports), 'port')} for {plural(len(hosts), 'host')}: give one "
            "for all hosts, or one for each"
        )
    return (
        hosts if len(hosts) > 1 else hosts[0] if hosts else None,
        tuple(ports) if len(ports) > 1 else ports[0] if ports else None,
    )


def _choose(key: str, value: str, choices: tuple[str, ...], where: str) -> str:
    for choice in choices:
        if value.lower() == choice.lower():
            return choice
    raise ConfigurationError(
        f"{where} has {quote(value)} for {key}: give one of {', '.join(choices)}"
    )


def _certificates(given: Mapping[str, str], where: str) -> dict[str, PoolOption]:
    in_uri = {key: given[key] for key in _IN_URI if key in given}
    for key in ("ssl_min_protocol_version", "ssl_max_protocol_version"):
        if key in in_uri:
            in_uri[key] = _choose(key, in_uri[key], _TLS_VERSIONS, where)
    mode = given.get("sslmode")
    options: dict[str, PoolOption] = {}
    negotiation = given.get("sslnegotiation", "postgres")
    if _choose("sslnegotiation", negotiation, ("postgres", "direct"), where) == "direct":
        if mode not in ("require", "verify-ca", "verify-full"):
            raise ConfigurationError(
                f"{where} has sslnegotiation=direct, which needs sslmode=require or stricter"
            )
        options["direct_tls"] = True
    if in_uri.get("sslrootcert") == "system":
        # libpq's name for the certificates that the system trusts, which asyncpg calls ssl=True.
        if mode not in (None, "verify-full") or len(in_uri) > 1:
            raise ConfigurationError(
                f"{where} has sslrootcert=system, which goes with sslmode=verify-full and, in "
                "asyncpg, with no certificate or TLS version of its own"
            )
        options["ssl"] = True
    elif in_uri:
        options["dsn"] = tuple(in_uri.items())
    return options


def _cache_size(given: Mapping[str, str], where: str) -> int | None:
    if _CACHE_SIZE not in given:
        return None
    if not re.fullmatch("[0-9]{1,9}", given[_CACHE_SIZE]):
        raise ConfigurationError(
            f"{where} has {quote(given[_CACHE_SIZE])} for {_CACHE_SIZE}: give a whole number, 0 "
            "for none"
        )
    return int(given[_CACHE_SIZE])


def _timeout(seconds: str, where: str) -> float | None:
    if not re.fullmatch(r"-?[0-9]{1,9}", seconds):
        raise ConfigurationError(
            f"{where} has {quote(seconds)} for connect_timeout: give whole seconds, 0 for no limit"
        )
    return float(seconds) if int(seconds) > 0 else None


def _server_settings(given: Mapping[str, str], where: str) -> dict[str, str]:
    settings = _command_line(given.get("options", ""))
    encoding = settings.pop("client_encoding", "utf8")
    harmless, reason = _ABSENT["client_encoding"]
    if encoding.lower() not in harmless:
        raise ConfigurationError(
            f"{where} asks for client_encoding, which is not supported: {reason}"
        )
    name = given.get("application_name") or given.get("fallback_application_name")
    return {**settings, "application_name": name} if name else settings


def _command_line(options: str) -> dict[str, str]:
    """Take apart settings written as for the server's command line, ``-c name=value --name=value``.

    One by one, a later default does not undo them, which it would if they went to the server as a
    command line. Where there is anything else in it, it goes to the server as it is.
    """
    words = [
        re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL)
        for word in re.findall(r"(?:\\.|[^\s\\])+", options, flags=re.DOTALL)
    ]
    settings: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        setting = re.fullmatch(
            "(?:-c|--)(?P<name>[^-=][^=]*)=(?P<value>.*)",
            word + next(rest, "") if word == "-c" else word,
            flags=re.DOTALL,
        )
        if setting is None:
            return {"options": options}
        settings[setting["name"].replace("-", "_")] = setting["value"]
    return settings
