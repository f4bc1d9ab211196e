"""What kept a connection from being made: which server it was, and what to do about it.

asyncpg reports much of it in the words of the system, such as "[Errno 111] Connect call failed",
and some of it as what happened inside, as "unexpected connection_lost() call".
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

import asyncpg
from asyncpg.exceptions import ClientConfigurationError

from aiidadb.callers_own import is_callers_own
from aiidadb.exceptions import (
    AiidaDbError,
    ConfigurationError,
    PoolOptionsError,
    UnreachableStorage,
    translate,
)

if TYPE_CHECKING:
    from aiidadb.connecting.opening.hosts import Address

__all__ = ["explain"]

_CHECK_ADDRESS: Final = (
    "check host and port, and that the server is running and accepts TCP connections"
)
_CHECK_SOCKET: Final = "check the directory and the port, and that the server is running"
_CHECK_SERVER: Final = (
    "check that it is PostgreSQL that listens there, and look at the server's log"
)


def explain(error: Exception, address: Address) -> Exception:
    """Turn what connecting raised into one of our errors.

    Args:
        error: What asyncpg raised, or something that the caller had it call.
        address: What was connected to.

    Returns:
        The error to raise ``from`` the original, or the original itself where that is the caller's
        own, or ours already.
    """
    if is_callers_own(error):
        return error
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        message, advice = _explain_system_error(error, address)
        return UnreachableStorage(message, advice=advice)
    if isinstance(error, asyncpg.ConnectionDoesNotExistError):
        return UnreachableStorage(
            f"{address} closed the connection during the login",
            sqlstate=error.sqlstate,
            advice=_CHECK_SERVER,
        )
    if isinstance(error, UnicodeError):  # from the codec of host names, "idna"
        return ConfigurationError(f"{address}: that is not a host name ({error})")
    refused = isinstance(error, ClientConfigurationError)
    if not refused and (ours := translate(error)) is not None:
        return ours
    if isinstance(error, AiidaDbError):
        return error
    if refused or isinstance(
        error, asyncpg.InterfaceError | AttributeError | TypeError | ValueError | OverflowError
    ):
        return PoolOptionsError(f"asyncpg refuses the options for connecting: {error}")
    return error


def _explain_system_error(error: OSError, address: Address) -> tuple[str, str]:
    """What happened, and what to do."""
    # The last is asyncpg's own: an answer to the question for TLS that is not yes.
    if isinstance(error, ssl.SSLError) or (error.errno is None and "SSL" in str(error)):
        return _explain_tls_error(error, address)
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return f"the name of {address} cannot be looked up now ({error.strerror})", "try again"
        return f"the name of {address} is not known ({error.strerror})", "check the host's name"
    if address.is_socket:
        return _explain_socket_error(error, address)
    if isinstance(error, ConnectionRefusedError):
        return f"{address} refused the connection: nothing is listening there", _CHECK_ADDRESS
    if isinstance(error, ConnectionError):
        return f"{address} closed the connection during the login", _CHECK_SERVER
    return f"{address} cannot be reached ({error.strerror or error})", _CHECK_ADDRESS


def _explain_tls_error(error: OSError, address: Address) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {address} was refused ({error.verify_message})",
            "check sslrootcert and the host's name, or choose an sslmode that does not verify",
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS with {address} failed ({error.reason or error})", _CHECK_SERVER
    return (
        f"{address} does not speak TLS",
        "check that it is PostgreSQL that listens there; if it has no TLS, set sslmode=disable",
    )


def _explain_socket_error(error: OSError, address: Address) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        return f"there is no server at {address.place}", _CHECK_SOCKET
    if isinstance(error, PermissionError):
        return f"{address} may not be used by this process", "check the socket's permissions"
    return f"{address} cannot be reached ({error.strerror or error})", _CHECK_SOCKET
