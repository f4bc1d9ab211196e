"""Takes PostgreSQL URIs apart, by libpq's rules.

``+`` is a plus, and a key in the query wins over the same in front of it. What the keys mean is
:mod:`aiidadb.connecting.profiles.libpq_keys`'s subject. No message quotes the URI.

Source: PostgreSQL 18's manual, "Database Connection Control Functions".
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiidadb.connecting.profiles.libpq_keys import parse_port, translate_keys
from aiidadb.exceptions import ConfigurationError
from aiidadb.messages import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.connecting.profiles.libpq_keys import ConnectionParameters

__all__ = ["parse_dsn"]


def parse_dsn(dsn: str) -> ConnectionParameters:
    """Take a PostgreSQL URI apart.

    Args:
        dsn: ``postgresql://[user[:password]@][host[:port][,…]][/database][?key=value[&…]]``. What
            is special in a URI is percent-encoded; a Unix socket's directory is ``%2Fvar%2Frun`` as
            the host, or ``/var/run`` as the key ``host``.

    Returns:
        What it says, in asyncpg's terms.

    Raises:
        ConfigurationError: It is not a PostgreSQL URI, or has a key that cannot be honoured. The
            message does not quote it.
    """
    scheme, separator, rest = dsn.partition("://")
    if not separator or scheme not in ("postgresql", "postgres"):
        raise _wrong_beginning(dsn, scheme if separator else "")
    # The first "@", if no "/" is before it, ends user and password. Another is most likely in a
    # password that is not encoded: then the parts are not what they seem, and none may show.
    behind = rest.partition("@")[2] if "@" in rest.partition("/")[0] else rest
    if "@" not in behind:
        return translate_keys(_split(rest), where="the DSN")
    if "@" not in behind.partition("?")[0]:
        with contextlib.suppress(ConfigurationError):
            return translate_keys(_split(rest), where="the DSN")
    raise ConfigurationError(
        "the DSN cannot be read: percent-encode what is special in user, password and database "
        "(%2F for /, %40 for @, %3A for :, %3F for ?, %23 for #, %25 for %)"
    )


def _wrong_beginning(dsn: str, scheme: str) -> ConfigurationError:
    begins = "a DSN begins with postgresql://"
    such_as = f"{begins}, such as postgresql://user@host/database"
    if not dsn:
        return ConfigurationError(f"the DSN is empty: {such_as}")
    if driver := re.fullmatch(r"postgres(?:ql)?(\+\w{1,20})", scheme):
        return ConfigurationError(
            f"{begins}: drop {driver[1]!r}, which names a driver for SQLAlchemy"
        )
    # What stands before :// may be another thing than a scheme, with a password in it.
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9.+-]{0,20}", scheme):
        return ConfigurationError(f"{scheme + '://'!r} is not supported: {begins}")
    if re.match(r"\s*\w+\s*=", dsn):
        return ConfigurationError(f"a DSN of the form key=value is not supported: {such_as}")
    return ConfigurationError(
        such_as,
        advice="for a profile use load_profile()",
        command_advice="for a profile use --profile",
    )


def _split(rest: str) -> dict[str, str]:
    """Give the keys that a URI without its scheme has, decoded, as libpq's parser does."""
    keys: dict[str, str] = {}
    if "@" in rest.partition("/")[0]:
        credentials, _, rest = rest.partition("@")
        user, _, password = credentials.partition(":")
        keys |= {"user": _decode(user), "password": _decode(password)}
    location, _, query = rest.partition("?")
    netlocs, _, database = location.partition("/")
    hosts: list[str] = []
    ports: list[str] = []
    for netloc in netlocs.split(","):
        if netloc.startswith("["):
            host, bracket, behind = netloc[1:].partition("]")
            if not host or not bracket or behind[:1] not in ("", ":"):
                raise ConfigurationError("the DSN has an IPv6 address that is not in [brackets]")
            port = behind[1:]
        else:
            host, _, port = netloc.partition(":")
        hosts.append(host)
        ports.append(port)
    keys["host"] = _decode(",".join(hosts))
    in_front = _decode(",".join(ports)) if any(ports) else ""
    keys["port"] = in_front
    keys["dbname"] = _decode(database)
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigurationError("the DSN has something in its query that is not key=value")
        key, value = _decode(key), _decode(value)
        if (key, value) == ("ssl", "true"):  # as libpq, for the sake of JDBC's URIs
            key, value = "sslmode", "require"
        keys["dbname" if key == "database" else key] = value
    if keys["port"] == in_front:
        _check_ports(in_front, keys)
    return keys


def _check_ports(ports: str, keys: Mapping[str, str]) -> None:
    """Refuse what stands behind the colon of a host and is not a port.

    Where the host was forgotten, as in ``user:password/database``, it is the password; so it may be
    in ``user@host:password``. It is shown only if the password is known to stand elsewhere.
    """
    for port in filter(None, ports.split(",")):
        if parse_port(port) is not None:
            continue
        if keys.get("password"):
            raise ConfigurationError(
                f"the DSN has the port {quote(port)}: give a number from 1 to 65535"
            )
        raise ConfigurationError(
            "the DSN has a port that is not a number from 1 to 65535",
            advice="if it is part of a password, write user:password@host, and percent-encode what "
            "is special in the password (%2F for /)"
            + ("; an IPv6 address is written in [brackets]" if ":" in port else ""),
        )


def _decode(text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ConfigurationError("the DSN has percent-encoded bytes that are not UTF-8") from None
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise ConfigurationError(
            "the DSN has a % that does not begin a percent-encoding: write % itself as %25"
        )
    return decoded
