"""What a caller may set for connections and pools: checked before asyncpg sees it.

asyncpg refuses some values when the pool is made, some when it connects, and takes others that it
cannot work with: a pool of 10**9 places fills the memory, a text with a NUL character never logs
in. What it refuses clearly by itself is left to it; bounds on waits are
:func:`aiidadb.connecting.opening.connection.require_seconds`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from aiidadb.arguments import LONGEST
from aiidadb.callers_own import callers_own
from aiidadb.connecting.profiles.libpq_keys import SERVER_KINDS
from aiidadb.exceptions import PoolOptionsError
from aiidadb.messages import Secret, did_you_mean, quote, suggest
from aiidadb.text import find_problem

__all__ = ["check_options", "hide_secrets", "require_known"]

MOST_CONNECTIONS: Final = 262_143
"""The most connections that a server can be configured to accept (``max_connections``)."""

_KNOWN: Final = frozenset({"connect_timeout", "max_long", "slow_statement"}) | frozenset(
    name
    for call in (asyncpg.create_pool, asyncpg.connect)
    for name in inspect.signature(call).parameters
) - {"connect_kwargs", "dsn", "service", "servicefile", "timeout"}
# What the profile says comes first, so that a DSN or a service beside it would be ignored; and
# asyncpg's timeout spans all hosts.

_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "max_connections",
            "max_overflow",
            "max_pool_size",
            "maxconn",
            "maxsize",
            "pool_max_size",
            "pool_size",
            "poolsize",
            "size",
        ),
        "max_size",
    ),
    **dict.fromkeys(
        ("min_connections", "min_pool_size", "minconn", "minsize", "pool_min_size"), "min_size"
    ),
    **dict.fromkeys(("query_timeout", "statement_timeout"), "command_timeout"),
    **dict.fromkeys(
        ("connection_timeout", "connectionTimeout", "login_timeout"), "connect_timeout"
    ),
    "pool_timeout": "acquire_timeout",
    "db": "database",
    "dbname": "database",
    "hostname": "host",
    "username": "user",
}
"""What other libraries call our options, where that is not similar enough, or to another one."""

_ADVICE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("max_bytes", "max_depth", "max_rows"), "it is an argument of Backend.query()"),
    **dict.fromkeys(
        ("default_user_email", "repository"), "it is an argument of Profile.from_dsn()"
    ),
    "timeout": "give connect_timeout for the time until a host has accepted the login, "
    "command_timeout for a statement, or acquire_timeout for a free connection of the pool",
    "config": "it is an argument of load_profile()",
    "dsn": "give the DSN in place of the profile",
    **dict.fromkeys(("service", "servicefile"), "write what the service file says into a DSN"),
    "application_name": "write server_settings={'application_name': …}",
}
"""Where that belongs which is no option, but is given as one."""

_SECRETS: Final = ("password", "dsn")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that no pool can have.

    Args:
        options: By the names that ``asyncpg.create_pool`` and ``asyncpg.connect`` have for them.

    Raises:
        PoolOptionsError: There is no such option, or it cannot have this value.
    """
    require_known(options)
    for name, value in options.items():
        check = _CHECKS.get(name)
        if check is not None and (problem := check(value)):
            shown = "" if name in _SECRETS else f", not {quote(value)}"
            raise PoolOptionsError(f"{name} must be {problem}{shown}")


def require_known(
    names: Iterable[str], beside: Collection[str] = (), call: str = "get_pool()"
) -> None:
    """Refuse unknown options.

    Args:
        names: Their names.
        beside: What else the call accepts, and may have been meant.
        call: What was called.

    Raises:
        PoolOptionsError: There is no option of one of the names.
    """
    for name in names:
        if name not in _KNOWN:
            raise PoolOptionsError(
                f"there is no option {quote(name)}",
                advice=_what_was_meant(name, _KNOWN.union(beside))
                or f"options are those of {call} and of asyncpg.create_pool()",
            )


def _what_was_meant(name: str, known: Collection[str]) -> str:
    if advice := _ADVICE.get(name):
        return advice
    meant = _ELSEWHERE.get(name, "")
    return suggest(name, meant) if meant in known else did_you_mean(name, known)


def hide_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options, of which those that hold a password do not show it in their ``repr``."""
    return {name: _hidden(value) if name in _SECRETS else value for name, value in options.items()}


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return Secret(value)
    return _Asked(value) if callable(value) and not isinstance(value, _Asked) else value


@dataclass(frozen=True)
class _Asked:
    """A password that a function of the caller's gives each time that asyncpg connects.

    Attributes:
        function: That function, async or not.
    """

    function: Callable[[], Any]

    async def __call__(self) -> str:
        with callers_own():
            password = self.function()
            if inspect.isawaitable(password):
                password = await password
        if not isinstance(password, str) or _text(password):
            raise PoolOptionsError("the function given as the password must return a string")
        return str.__str__(password)  # asyncpg takes no subclass


# ---------------------------------------------------------------- what a value must be
#
# None where it is valid.


def _whole(least: int, most: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return None if is_number and least <= value <= most else text

    text = f"a whole number from {least:,} to {most:,}"
    return check


def _seconds(value: Any) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 <= value <= LONGEST:  # which NaN is not
        return None
    return "a number of seconds, 0 or more"


def _flag(value: Any) -> str | None:
    return None if value is None or isinstance(value, bool) else "True or False"


def _function(value: Any) -> str | None:
    return None if value is None or callable(value) else "a function"


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and find_problem(value) is None):
        return None
    return "a string without NUL characters and lone surrogates"


def _password(value: Any) -> str | None:
    return None if callable(value) else _text(value)


def _path(value: Any) -> str | None:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if path is None:
        return None
    if not _text(path):
        with contextlib.suppress(OSError):
            # A device or a pipe would be read without end.
            if Path(path).is_file() or not Path(path).exists():
                return None
    return "the path of a file"


def _hosts(value: Any) -> str | None:
    if isinstance(value, list | tuple) and value:
        return None if all(isinstance(one, str) and not _text(one) for one in value) else _HOSTS
    return _HOSTS if _text(value) else None


def _ports(value: Any) -> str | None:
    ports = value if isinstance(value, list | tuple) and value else [value]
    return None if value is None or not any(map(_port, ports)) else "a port, or one for each host"


def _init_size(value: Any) -> str | None:
    return None if value is None else _whole(0, MOST_CONNECTIONS)(value)


def _settings(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, Mapping) and all(
        isinstance(one, str) and not _text(one) for pair in value.items() for one in pair
    ):
        return None
    return "a mapping of strings to strings"


def _loop(value: Any) -> str | None:
    # A pool is one of the running loop.
    return None if value is None or value is asyncio.get_running_loop() else "the running loop"


def _server_kind(value: Any) -> str | None:
    known = value is None or (isinstance(value, str) and value in SERVER_KINDS)
    return None if known else f"one of {', '.join(SERVER_KINDS)}"


def _class(kind: type) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        is_one = isinstance(value, type) and issubclass(value, kind)
        return None if is_one else f"a subclass of asyncpg.{kind.__name__}"

    return check


_HOSTS: Final = "a host, or a list of some"
_port: Final = _whole(1, 65535)

_CHECKS: Final[Mapping[str, Callable[[Any], str | None]]] = {
    "connect": _function,
    "connection_class": _class(asyncpg.Connection),
    "database": _text,
    "direct_tls": _flag,
    "gsslib": _text,
    "host": _hosts,
    "init": _function,
    "init_size": _init_size,
    "krbsrvname": _text,
    "loop": _loop,
    "max_cacheable_statement_size": _whole(0, 2**31 - 1),
    "max_cached_statement_lifetime": _seconds,
    "max_inactive_connection_lifetime": _seconds,
    "max_long": _whole(1, MOST_CONNECTIONS),
    "max_queries": _whole(1, 2**63 - 1),
    "max_size": _whole(1, MOST_CONNECTIONS),
    "min_size": _whole(0, MOST_CONNECTIONS),
    "passfile": _path,
    "password": _password,
    "port": _ports,
    "record_class": _class(asyncpg.Record),
    "reset": _function,
    "server_settings": _settings,
    "setup": _function,
    "statement_cache_size": _whole(0, 2**31 - 1),
    "target_session_attrs": _server_kind,
    "user": _text,
}
