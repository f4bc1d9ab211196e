"""Whether and how connections are encrypted, by libpq's rules.

asyncpg makes a TLS context for each connection while the event loop waits, from files that may be
on a slow disk, and stops at a default file that it may not read, such as one in the home of a
service that has none. Here contexts are made in a thread, and what was not asked for by name is
ignored where it cannot be read.

Source: PostgreSQL 18's manual, "SSL Support"; ``connect_utils.py`` of asyncpg 0.30 to 0.32.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from aiidadb.exceptions import ConfigurationError
from aiidadb.messages import Secret, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.connecting.opening.hosts import Address

__all__ = ["has_no_tls", "may_do_otherwise", "ways_to_encrypt"]

_MODES: Final = ("allow", "prefer", "require", "verify-ca", "verify-full")
_OLDEST_VERSION: Final = "TLSv1.2"
_PROTOCOL: Final = "postgresql"  # for ALPN, which a server that starts with TLS asks for

_VARIABLES: Final = {
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
}


async def ways_to_encrypt(
    address: Address, dsn: str | None, arguments: Mapping[str, Any]
) -> tuple[Any, ...]:
    """What asyncpg's argument ``ssl`` can be, in the order in which to try.

    Args:
        address: What is connected to.
        dsn: The argument of asyncpg, which names files.
        arguments: The others.

    Returns:
        TLS contexts, and False for no encryption; one, or two where the mode leaves a choice. What
        is not ours to judge, such as a context of the caller's, is returned as it is.

    Raises:
        ConfigurationError: A file that was named, or that the mode needs, cannot be used.
    """
    given = arguments.get("ssl")
    keys = dict(parse_qsl(urlsplit(dsn).query)) if dsn else {}
    if arguments.get("service") or "service" in keys or os.environ.get("PGSERVICE"):
        return (given,)  # asyncpg reads the file of services, which may say more
    if given is True:
        return (await asyncio.to_thread(_make_default_context),)
    mode = keys.get("sslmode") or os.environ.get("PGSSLMODE") if given is None else given
    if address.host is None:
        is_socket = os.environ.get("PGHOST", "").startswith("/")
    else:
        is_socket = address.is_socket
    if is_socket:
        # Where nothing is in between, nothing is encrypted, whatever the mode.
        return (False,) if mode in (None, *_MODES) and not arguments.get("direct_tls") else (given,)
    mode = "prefer" if mode is None else mode
    if not isinstance(mode, str) or mode not in _MODES:
        return (given,)
    context = await asyncio.to_thread(_make_context, mode, keys)
    if mode == "prefer":
        return (context, False)
    return (False, context) if mode == "allow" else (context,)


def may_do_otherwise(error: Exception) -> bool:
    """Whether a connection that could not be made may work in the other way.

    So it is where the server has no TLS or cannot agree on one, and where it takes this role from
    here only with encryption, or only without.
    """
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate == "28000" or isinstance(error, asyncpg.ConnectionDoesNotExistError)
    return isinstance(error, OSError) and not isinstance(
        error, TimeoutError | ConnectionRefusedError | FileNotFoundError | socket.gaierror
    )


def has_no_tls(error: Exception) -> bool:
    """Whether a server said that it has no TLS."""
    return isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error)


# ---------------------------------------------------------------- in a thread


def _make_default_context() -> ssl.SSLContext:
    """For a server whose certificate is signed by one of the system's CAs."""
    context = ssl.create_default_context()
    context.set_alpn_protocols([_PROTOCOL])
    return context


def _make_context(mode: str, keys: Mapping[str, str]) -> ssl.SSLContext:
    named = {
        key: keys.get(key) or os.environ.get(variable) or None
        for key, variable in _VARIABLES.items()
    }
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    if mode in ("allow", "prefer"):
        context.verify_mode = ssl.CERT_NONE
    else:
        _load_authorities(context, mode, named)
        _load_revocations(context, named)
    _load_own_certificate(context, named, Secret(keys.get("sslpassword", "")))
    oldest = named["ssl_min_protocol_version"] or _OLDEST_VERSION
    context.minimum_version = _version(oldest)
    if newest := named["ssl_max_protocol_version"]:
        context.maximum_version = _version(newest)
    context.set_alpn_protocols([_PROTOCOL])
    log = os.environ.get("SSLKEYLOGFILE")
    if log and not sys.flags.ignore_environment:
        context.keylog_filename = log
    return context


def _load_authorities(context: ssl.SSLContext, mode: str, named: Mapping[str, str | None]) -> None:
    """Whose certificates are trusted; without a file, "require" trusts any."""
    file = named["sslrootcert"] or _default_file("root.crt")
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:
        if named["sslrootcert"] is not None or isinstance(error, ssl.SSLError):
            raise _unusable("sslrootcert", file, error) from error
        if mode == "require":
            context.verify_mode = ssl.CERT_NONE
            return
        raise ConfigurationError(
            f"sslmode={mode} needs the certificates of CAs, and {quote(str(file))} cannot "
            f"be read ({error.strerror})",
            advice="name a file with sslrootcert",
        ) from error


def _load_revocations(context: ssl.SSLContext, named: Mapping[str, str | None]) -> None:
    file = named["sslcrl"] or _default_file("root.crl")
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:
        if named["sslcrl"] is not None or isinstance(error, ssl.SSLError):
            raise _unusable("sslcrl", file, error) from error
        return
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load_own_certificate(
    context: ssl.SSLContext, named: Mapping[str, str | None], password: str
) -> None:
    file = named["sslcert"] or _default_file("postgresql.crt")
    key: str | Path | None = named["sslkey"] or _default_file("postgresql.key")
    if named["sslkey"] is None and not _is_there(_default_file("postgresql.key")):
        key = None  # it may be in the file of the certificate
    try:
        context.load_cert_chain(file, keyfile=key, password=lambda: password)
    except OSError as error:
        # The server may not ask for one.
        if named["sslcert"] is None and not isinstance(error, ssl.SSLError):
            return
        raise _unusable("sslcert or sslkey", file, error) from error


def _default_file(name: str) -> Path:
    try:
        home = Path.home()
    except RuntimeError:  # this user has none
        home = Path(os.devnull)  # in which nothing is
    return home / ".postgresql" / name


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # it may not be looked at
        return False


def _unusable(keys: str, file: str | Path, error: OSError) -> ConfigurationError:
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return ConfigurationError(
        f"the file {quote(str(file))} for TLS ({keys}) cannot be used: {reason}"
    )


def _version(name: str) -> ssl.TLSVersion:
    try:
        return ssl.TLSVersion[name.replace(".", "_")]
    except KeyError:
        raise ConfigurationError(
            f"there is no version {quote(name)} of TLS: give TLSv1.2 or TLSv1.3"
        ) from None
