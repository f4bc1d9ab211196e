"""What opens connections with one set of arguments, and learns what is at the other end."""

from __future__ import annotations

import asyncio
import os
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from aiidadb.connecting.driver.asyncpg_internals import behind
from aiidadb.connecting.opening.hosts import connect_to_one_of
from aiidadb.connecting.opening.tls import has_no_tls, may_do_otherwise, ways_to_encrypt
from aiidadb.connecting.uninterrupted import clean_up_after
from aiidadb.exceptions import PoolOptionsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.connecting.opening.hosts import Address

__all__ = ["CONNECT_TIMEOUT", "SERVER_SETTINGS", "Connector", "keeps_settings", "plain"]

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for each host, login included, if neither the caller nor the profile says."""

_CHECKING: Final = "client_connection_check_interval"

# All are set at connecting, because the reset between two uses undoes any later SET. JIT compiles
# each first costly query of a connection for longer than the query runs. And without a look at the
# client now and then, the statement of a process that was killed runs on to its end.
SERVER_SETTINGS: Final = {"jit": "off", _CHECKING: "500ms"}
"""What connections ask of the server itself, not of a pooler in front of it."""

_MOMENT: Final = 0.2
"""Seconds for which a task that is cancelled while connecting can be kept waiting."""

_LONGEST: Final = 5.0
"""Seconds after which an attempt that nobody waits for any more is cancelled as well."""

# Connections that have these settings for every statement.
_with_settings: weakref.WeakSet[asyncpg.Connection] = weakref.WeakSet()


def keeps_settings(connection: asyncpg.Connection) -> bool:
    """Whether a connection has :data:`SERVER_SETTINGS`.

    Not so behind a pooler such as PgBouncer, which refuses or forgets them: each transaction may be
    served by another session.
    """
    return behind(connection) in _with_settings


class Connector:
    """Opens connections: all of one pool, or a single one.

    The first connection to an address shows whether the server itself is there or a pooler such as
    PgBouncer, which gives its clients a number in place of that of the server's process. Behind
    one, a prepared statement with a name would stay in a session that others use next, and break
    their calls; so there, unless the caller chose a ``statement_cache_size``, none gets a name.

    It also shows whether the server can check that its clients are still there, which
    PostgreSQL can from 14 on, and not on each system.
    """

    def __init__(self) -> None:
        self._is_pooler: dict[Address, bool] = {}
        self._never_checks: set[Address] = set()
        self._without_tls: set[Address] = set()

    async def __call__(
        self,
        dsn: str | None = None,
        *,
        host: str | list[str] | None = None,
        port: int | list[int] | None = None,
        connect_timeout: float | None = CONNECT_TIMEOUT,
        target_session_attrs: str | None = None,
        **arguments: Any,
    ) -> asyncpg.Connection:
        """Open a connection.

        Args:
            dsn: What asyncpg takes in no other way, or None.
            host: The host, or several in the order in which to try them.
            port: One for each, or one for all.
            connect_timeout: Seconds for each host, login included; None: without a bound.
            target_session_attrs: Of which kind the server must be, as for libpq.
            arguments: For ``asyncpg.connect``.

        Raises:
            UnreachableStorage: No host answers in time.
            PoolOptionsError: A pooler refuses a setting of the caller's.
            Exception: What asyncpg raises.
        """

        async def attempt(address: Address, wanted: str | None) -> asyncpg.Connection:
            there = {"host": address.host, "port": address.port, "target_session_attrs": wanted}
            return await self._open(address, dsn, {**arguments, **there})

        return await connect_to_one_of(
            attempt,
            host=host,
            port=port,
            connect_timeout=connect_timeout,
            target_session_attrs=target_session_attrs,
        )

    async def _open(
        self, address: Address, dsn: str | None, arguments: dict[str, Any]
    ) -> asyncpg.Connection:
        if arguments.get("statement_cache_size") == 0:  # so the caller says that there is a pooler
            return await self._connect(address, dsn, _for_pooler(arguments))
        connection = None
        if address not in self._is_pooler:
            connection = await self._look(address, dsn, arguments)
        is_pooler = self._is_pooler[address]
        if connection is None:
            adapted = _for_pooler(arguments) if is_pooler else arguments
            connection = await self._connect(address, dsn, adapted)
        if not is_pooler:
            _with_settings.add(connection)
        return connection

    async def _look(
        self, address: Address, dsn: str | None, arguments: dict[str, Any]
    ) -> asyncpg.Connection | None:
        """Find out what is at an address; the connection, if it can be used further."""
        trial = dict(arguments)
        wanted = trial["target_session_attrs"] or os.environ.get("PGTARGETSESSIONATTRS")
        if wanted not in (None, "any"):
            trial["statement_cache_size"] = 0  # asyncpg asks by a statement, and would name it
        try:
            connection = await self._connect(address, dsn, trial)
        except PoolOptionsError:
            if _for_pooler(trial) == trial:
                raise
            self._is_pooler[address] = True  # no server refuses our settings
            return None
        try:
            # By a statement without a name.
            statement = await connection.prepare("select pg_backend_pid()", name="")
            is_pooler = await statement.fetchval() != connection.get_server_pid()
            self._is_pooler[address] = is_pooler
            if trial == (_for_pooler(arguments) if is_pooler else arguments):
                return connection
            await connection.close()
        except BaseException:
            connection.terminate()
            raise
        return None

    async def _connect(
        self, address: Address, dsn: str | None, arguments: dict[str, Any]
    ) -> asyncpg.Connection:
        if address in self._never_checks:
            arguments = _without_checking(arguments)
        try:
            return await self._connect_in_any_way(address, dsn, arguments)
        except (asyncpg.UndefinedObjectError, asyncpg.InvalidParameterValueError) as error:
            left = _without_checking(arguments)
            if _CHECKING not in str(error) or left == arguments:
                raise
            self._never_checks.add(address)
            return await self._connect_in_any_way(address, dsn, left)

    async def _connect_in_any_way(
        self, address: Address, dsn: str | None, arguments: dict[str, Any]
    ) -> asyncpg.Connection:
        """Connect with encryption or without, as far as the mode leaves a choice."""
        ways = await ways_to_encrypt(address, dsn, arguments)
        if address in self._without_tls:
            ways = ways[::-1]
        for way in ways[:-1]:
            try:
                return await _connect(dsn, {**arguments, "ssl": way})
            except Exception as error:
                if not may_do_otherwise(error):
                    raise
                if has_no_tls(error):
                    self._without_tls.add(address)
        return await _connect(dsn, {**arguments, "ssl": ways[-1]})


async def _connect(dsn: str | None, arguments: dict[str, Any]) -> asyncpg.Connection:
    try:
        return await _connect_unless_cancelled(dsn, arguments)
    except asyncpg.ProtocolViolationError as error:
        if "startup parameter" not in str(error):
            raise
        raise PoolOptionsError(
            f"the connection pooler in front of the server refuses a setting: {error}",
            advice="set it on the role, or let the pooler ignore it (PgBouncer has "
            "ignore_startup_parameters for that)",
        ) from error


async def _connect_unless_cancelled(
    dsn: str | None, arguments: dict[str, Any]
) -> asyncpg.Connection:
    """Connect. If this is cancelled, the attempt goes on by itself, and is waited for a moment.

    A cancellation between two states of asyncpg, such as while ``create_connection`` returns,
    leaves a socket that nothing closes, and futures that nothing waits for any more: they fail, and
    asyncio logs each of them ("Future exception was never retrieved"). So the attempt itself is
    cancelled only after so long that it must be waiting for the network, even on a busy machine.
    """
    connecting = asyncio.ensure_future(
        asyncpg.connect(None if dsn is None else str.__str__(dsn), **plain(arguments), timeout=None)
    )
    try:
        await asyncio.wait((connecting,))
    except asyncio.CancelledError as error:
        giving_up = asyncio.get_running_loop().call_later(_LONGEST, connecting.cancel)
        connecting.add_done_callback(partial(_discard, giving_up))
        await clean_up_after(error, asyncio.wait((connecting,)), within=_MOMENT)
        raise
    connection: asyncpg.Connection = connecting.result()
    return connection


def _discard(
    giving_up: asyncio.TimerHandle, connecting: asyncio.Future[asyncpg.Connection]
) -> None:
    """Close the connection that an attempt made after nobody waited for it any more."""
    giving_up.cancel()
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().terminate()


def plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments with every text a ``str``: asyncpg takes no subclass, such as a secret.

    What this gives must not be kept in a variable, where a traceback could show a password.
    """
    texts = {
        name: str.__str__(value) for name, value in arguments.items() if isinstance(value, str)
    }
    settings = arguments.get("server_settings") or {}
    settings = {str.__str__(name): str.__str__(value) for name, value in settings.items()}
    return {**arguments, **texts, "server_settings": settings}


def _for_pooler(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without what a pooler refuses or what goes wrong behind one."""
    return {"statement_cache_size": 0, **_without(arguments, SERVER_SETTINGS)}


def _without_checking(arguments: dict[str, Any]) -> dict[str, Any]:
    return _without(arguments, {_CHECKING: SERVER_SETTINGS[_CHECKING]})


def _without(arguments: dict[str, Any], ours: Mapping[str, str]) -> dict[str, Any]:
    """The arguments without settings of ours; those that the caller chose are asked for."""
    settings = arguments.get("server_settings") or {}
    left = {name: value for name, value in settings.items() if ours.get(name) != value}
    return {**arguments, "server_settings": left}
