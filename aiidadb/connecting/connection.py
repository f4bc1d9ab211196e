"""How one connection is made: its arguments, its session's settings, its JSON codecs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from aiidadb.connecting.hosts import connect_to_one_of
from aiidadb.exceptions import PoolError, translate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiidadb.connecting.profile import Profile

__all__ = ["connect", "connect_arguments", "connector", "require_asyncio", "set_codecs"]

COMMAND_TIMEOUT: Final = 300.0
"""Seconds that a statement may take where the caller does not say otherwise."""

# JIT compiles each first costly query of a connection for longer than the query runs; it must be
# set at connecting, because the reset between two uses undoes any later SET.
_SERVER_SETTINGS: Final = {"application_name": "aiidadb", "jit": "off"}

_DEFAULTS: Final[dict[str, Any]] = {
    "min_size": 0,
    "max_size": 10,
    "command_timeout": COMMAND_TIMEOUT,
}


def require_asyncio() -> asyncio.AbstractEventLoop:
    """The running event loop.

    Raises:
        PoolError: There is none, or it is trio's: asyncpg runs on asyncio alone.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise PoolError(
            "aiidadb needs a running asyncio event loop: asyncpg, the driver, knows no other "
            "(under trio, run this part with asyncio or through trio-asyncio)"
        ) from None


async def set_codecs(connection: asyncpg.Connection) -> None:
    """Let JSON arrive and go as Python values."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_encode_json, decoder=json.loads
        )


def _encode_json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def connect_arguments(profile: Profile, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments for asyncpg: the profile's, ours, and the caller's over both.

    A ``statement_cache_size`` of 0 is the sign of PgBouncer in transaction mode, which refuses
    session settings in the startup packet: then only the application's name is sent.
    """
    arguments = {**_DEFAULTS, **profile.connect_arguments(), **options}
    ours = dict(_SERVER_SETTINGS)
    if arguments.get("statement_cache_size") == 0:
        del ours["jit"]
    given = arguments.get("server_settings") or {}
    asked = options.get("server_settings") or {}
    arguments["server_settings"] = {**ours, **given, **asked}
    return arguments


def connector(arguments: dict[str, Any]) -> Callable[..., Awaitable[asyncpg.Connection]]:
    """What connects with these arguments: asyncpg, or ours where there are several hosts."""
    hosts = arguments.get("host")
    return connect_to_one_of if isinstance(hosts, list) and len(hosts) > 1 else asyncpg.connect


# What create_pool() takes and connect() does not.
_FOR_POOLS: Final = (
    "min_size",
    "max_size",
    "max_queries",
    "max_inactive_connection_lifetime",
    "setup",
    "init",
    "reset",
    "connect",
)


async def connect(profile: Profile, **options: Any) -> asyncpg.Connection:
    """Open one connection outside every pool, with no time limit on its statements.

    Args:
        profile: The database.
        options: For ``asyncpg.connect``; those for pools alone are passed over.

    Returns:
        The connection, JSON codecs set. The caller closes it.

    Raises:
        DatabaseError: No connection could be made.
    """
    require_asyncio()
    arguments = connect_arguments(profile, {**options, "command_timeout": None})
    for name in _FOR_POOLS:
        arguments.pop(name, None)
    try:
        connection: asyncpg.Connection = await connector(arguments)(**arguments)
    except Exception as error:
        raise translate(error) or error from error
    await set_codecs(connection)
    return connection
