"""How one connection is made: its arguments, its session's settings, its JSON codecs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import weakref
from typing import TYPE_CHECKING, Any, Final

from aiidadb.arguments import LONGEST
from aiidadb.connecting.driver.asyncpg_internals import behind, read_at_most
from aiidadb.connecting.driver.slow_statements import SLOW_STATEMENT
from aiidadb.connecting.opening.connector import CONNECT_TIMEOUT, SERVER_SETTINGS, Connector
from aiidadb.connecting.opening.pool_options import check_options, hide_secrets
from aiidadb.exceptions import CorruptStorage, PoolError, PoolOptionsError, translate
from aiidadb.jsonvalue import decode_json
from aiidadb.messages import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

    from aiidadb.connecting.profiles.profile import Profile

__all__ = [
    "COMMAND_TIMEOUT",
    "connect",
    "connect_arguments",
    "leaving_out_unreadable_json",
    "require_asyncio",
    "require_seconds",
    "set_codecs",
]

COMMAND_TIMEOUT: Final = 300.0
"""Seconds that a statement may take where the caller does not say otherwise."""

_DEFAULTS: Final[dict[str, Any]] = {
    "min_size": 0,
    "max_size": 10,
    "connect_timeout": CONNECT_TIMEOUT,
    "command_timeout": COMMAND_TIMEOUT,
    "slow_statement": SLOW_STATEMENT,
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
            "aiidadb needs a running asyncio event loop: asyncpg, the driver, supports no other "
            "(under trio, run this part with asyncio or through trio-asyncio)"
        ) from None


_read: Final = json.JSONDecoder().raw_decode


class _JsonDecoder:
    """Decodes the JSON of one connection.

    Attributes:
        leaves_out: Whether what Python cannot read is to be None, instead of an error.
    """

    __slots__ = ("leaves_out",)

    def __init__(self) -> None:
        self.leaves_out = False

    def decode(self, text: str) -> Any:
        # There may be many values, most of them small: on those json.loads() spends most of its
        # time looking for space around the value, where the server has put none.
        if text == "{}":  # as most of AiiDA's extras are
            return {}
        try:
            value, end = _read(text)
            if end == len(text):
                return value
        except (RecursionError, ValueError):
            pass
        try:
            return decode_json(text)
        except CorruptStorage:
            if self.leaves_out:
                return None
            raise


_READ_AT_ONCE: Final = 16 * 1024
"""Bytes; to decode many small JSON values of that size together takes about a millisecond."""

_decoders: weakref.WeakKeyDictionary[asyncpg.Connection, _JsonDecoder] = weakref.WeakKeyDictionary()


async def set_codecs(connection: asyncpg.Connection) -> None:
    """Let JSON arrive and go as Python values."""
    read_at_most(connection, _READ_AT_ONCE)
    decoder = _decoders[connection] = _JsonDecoder()
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_encode_json, decoder=decoder.decode
        )


@contextlib.contextmanager
def leaving_out_unreadable_json(connection: asyncpg.Connection) -> Iterator[None]:
    """JSON that Python cannot read arrives as None inside, instead of failing the statement.

    Args:
        connection: On which no other statement runs meanwhile.
    """
    held = behind(connection)
    decoder = None if held is None else _decoders.get(held)
    if decoder is None:
        yield
        return
    decoder.leaves_out = True
    try:
        yield
    finally:
        decoder.leaves_out = False


def _encode_json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def connect_arguments(profile: Profile, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments for asyncpg: the profile's, ours, and the caller's, which override both.

    Three of them asyncpg does not have: ``connect_timeout`` is for our :class:`Connector`, and
    ``slow_statement`` and ``max_long``, the latter if the caller gives it, are for our pools.

    Raises:
        PoolOptionsError: There is no such option, or it cannot have this value; or a time is given
            in asyncpg's own way.
    """
    check_options(options)
    of_profile = dict(profile.pool_options)
    if "timeout" in of_profile:
        raise PoolOptionsError(
            "asyncpg's own timeout is not accepted: it spans all hosts",
            advice="give connect_timeout, the seconds for each host",
        )
    arguments = {**_DEFAULTS, **profile.connect_arguments()}
    arguments.pop("timeout", None)  # asyncpg's, for our connect_timeout
    if "connect_timeout" in of_profile:
        arguments["connect_timeout"] = of_profile["connect_timeout"]
    given = arguments.get("server_settings") or {}
    arguments = hide_secrets({**arguments, **options})
    for name in ("connect_timeout", "command_timeout"):
        require_seconds(name, arguments[name])
    require_seconds("slow_statement", arguments["slow_statement"], without="no report")
    asked = options.get("server_settings") or {}
    ours = {"application_name": "aiidadb", **SERVER_SETTINGS}
    arguments["server_settings"] = {**ours, **given, **asked}
    return arguments


def require_seconds(name: str, value: object, *, without: str = "no bound") -> None:
    """Refuse what is not a number of seconds, nor None.

    Args:
        name: The option.
        value: What it was given.
        without: What None stands for.

    Raises:
        PoolOptionsError: It is neither None nor a number of seconds above 0.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < value <= LONGEST):  # type: ignore[operator]
        raise PoolOptionsError(
            f"{name} must be a number of seconds above 0, or None for {without}, not {quote(value)}"
        )


# What create_pool() takes and connect() does not.
_FOR_POOLS: Final = (
    "min_size",
    "max_size",
    "max_long",
    "slow_statement",
    "max_queries",
    "max_inactive_connection_lifetime",
    "setup",
    "init",
    "reset",
    "connect",
    "init_size",
)


async def connect(profile: Profile, **options: Any) -> asyncpg.Connection:
    """Open one connection outside every pool, with no time limit on its statements.

    Args:
        profile: The database.
        options: For ``asyncpg.connect``; those for pools only are ignored.

    Returns:
        The connection, JSON codecs set. The caller closes it.

    Raises:
        DatabaseError: No connection could be made.
        PoolOptionsError: A time among the options is not valid.
    """
    require_asyncio()
    options = hide_secrets(options)
    arguments = connect_arguments(profile, {**options, "command_timeout": None})
    for name in _FOR_POOLS:
        arguments.pop(name, None)
    try:
        connection: asyncpg.Connection = await Connector()(**arguments)
    except Exception as error:
        raise translate(error) or error from error
    try:
        await set_codecs(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection
