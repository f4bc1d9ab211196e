"""Connection pools: one for each profile in each running event loop.

The pitfalls here, which are taken care of: a pool that another event loop uses fails in odd ways;
one that was inherited through a fork shares its sockets with the parent and must not even be
closed; one whose opening failed pretends to be open; and closing one waits forever for a connection
that was never given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import socket
import weakref
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import asyncpg

from aiidadb.callers_own import callers_own
from aiidadb.connecting.driver.asyncpg_internals import (
    behind,
    give_back_at_once,
    socket_of,
    was_lost,
)
from aiidadb.connecting.driver.slow_statements import SlowStatements
from aiidadb.connecting.driver.statement import cancel_statement
from aiidadb.connecting.opening.connection import connect_arguments, require_asyncio, set_codecs
from aiidadb.connecting.opening.connector import Connector, plain
from aiidadb.connecting.opening.pool_options import hide_secrets
from aiidadb.connecting.pools.lanes import Lanes, number_of_lanes
from aiidadb.connecting.pools.places import Places, place_found
from aiidadb.connecting.profiles.profile import name_of, require_profile
from aiidadb.connecting.uninterrupted import uninterrupted
from aiidadb.exceptions import ClosedError, PoolOptionsError, translate
from aiidadb.messages import plural, quote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from aiidadb.connecting.profiles.profile import Profile

__all__ = [
    "PoolRegistry",
    "default_registry",
    "expire_connections",
    "expire_connections_of",
    "get_pool",
    "give_back_clean",
    "lanes_of",
    "mark_clean",
    "places_of",
    "reset_pools",
    "slow_of",
]

_LOGGER: Final = logging.getLogger(__name__)

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that a pool gets to close in peace before its connections are cut."""

_CANCEL_TIMEOUT: Final = 0.5

_MAX_QUERIES: Final = 50_000
"""After how many statements asyncpg replaces a connection, if the caller does not say."""

# Pools from before a fork: kept forever, because even their finalisation would touch the
# parent's sockets and selector.
_inherited: list[_Entry] = []

# Connections whose session state is known to be untouched, so that the reset can be left out.
_clean: weakref.WeakSet[asyncpg.Connection] = weakref.WeakSet()


def mark_clean(connection: asyncpg.Connection) -> None:
    """Declare that this use of a connection leaves no session state, so it needs no reset.

    The reset costs a round trip, more than a small query does.
    """
    # What a pool hands out is a proxy of one use; the connection behind it is what gets reset. A
    # connection that broke is no longer behind it.
    if (held := behind(connection)) is not None:
        _clean.add(held)


def give_back_clean(pool: asyncpg.Pool, connection: asyncpg.Connection) -> bool:
    """Give back a connection that needs no reset, where nothing has to be waited for.

    Args:
        pool: A pool of this module.
        connection: Of the pool. Nothing is under way on it, and its session is as it was.

    Returns:
        Whether it was given back; otherwise ``pool.release`` does it.
    """
    return give_back_at_once(pool, connection, reset=_reset_unless_clean)


async def _reset_unless_clean(connection: asyncpg.Connection) -> None:
    if connection in _clean:
        _clean.discard(connection)
    elif query := connection.get_reset_query():
        await connection.execute(query)


@dataclass(eq=False)
class _Entry:
    """A pool that is open or being opened."""

    loop: asyncio.AbstractEventLoop
    pid: int
    arguments: dict[str, Any]
    name: str  # the profile's, as it is shown
    lanes: Lanes
    slow: SlowStatements
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    pool: asyncpg.Pool | None = None
    places: Places | None = None
    failure: Exception | None = None  # what opening it raised
    connections: weakref.WeakSet[asyncpg.Connection] = field(default_factory=weakref.WeakSet)
    borrowers: int = 0
    pinned: bool = False  # handed out by get_pool: stays until a reset
    expired: weakref.WeakSet[asyncpg.Connection] = field(default_factory=weakref.WeakSet)
    lost: int = 0  # connections that were lost and not replaced yet

    def abandon(self) -> None:
        """Hang up on a pool whose loop is closed: the loop can no longer close it."""
        for connection in list(self.connections):
            plain = socket_of(connection)
            if plain is not None:
                with contextlib.suppress(OSError):
                    plain.shutdown(socket.SHUT_RDWR)


# Every pool of this process, whichever registry and event loop it belongs to.
_entries: weakref.WeakSet[_Entry] = weakref.WeakSet()


async def expire_connections() -> None:
    """Let every pool of this process replace its connections before they are used again.

    For use after a change of the schema: what they have cached of it is out of date. Connections
    that are in use are replaced when they are given back.
    """
    for entry in list(_entries):
        if entry.pool is not None and entry.pid == os.getpid():
            await _expire(entry)


async def expire_connections_of(pool: asyncpg.Pool) -> None:
    """:func:`expire_connections`, of one pool that a registry has open."""
    await _expire(next(entry for entry in _entries if entry.pool is pool))


async def _expire(entry: _Entry) -> None:
    assert entry.pool is not None
    entry.expired.update(entry.connections)
    await entry.pool.expire_connections()  # counts a number up, and waits for nothing


def lanes_of(pool: asyncpg.Pool) -> Lanes:
    """The limit on long calls in a pool that a registry has open."""
    return next(entry.lanes for entry in _entries if entry.pool is pool)


def slow_of(pool: asyncpg.Pool) -> SlowStatements:
    """What reports the slow statements of a pool that a registry has open."""
    return next(entry.slow for entry in _entries if entry.pool is pool)


def places_of(pool: asyncpg.Pool) -> Places:
    """The places of a pool that a registry has open."""
    return next(entry.places for entry in _entries if entry.pool is pool and entry.places)


class PoolRegistry:
    """Opens, shares and closes asyncpg pools; one per profile and running event loop.

    Use it as ``async with PoolRegistry() as registry``, or call :meth:`reset` at the end. The
    constructor does nothing. (Replaces ``djsite.get_scoped_session``, which had one engine per
    process, with 15 connections.)
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[int, Profile], _Entry] = {}
        self._closed = False

    async def __aenter__(self) -> PoolRegistry:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        await self.reset()

    async def get_pool(self, profile: Profile, **options: Any) -> asyncpg.Pool:
        """The profile's pool in the running loop, opened now if it is not.

        It is asyncpg's own, for SQL of your own. What is sent through it is not part of
        :meth:`aiidadb.Backend.transaction`, and stays where that is rolled back: inside one, use
        the connection that it yields. Beside what the caller or the profile says, it differs from
        what ``asyncpg.create_pool`` makes by default:

        - JSON (``json``, ``jsonb``) goes and arrives as Python values; what Python cannot read is a
          :class:`CorruptStorage`. Other types are asyncpg's: a time that Python cannot hold is an
          ``OverflowError``, and an infinite one is the first or last of Python's times, without a
          time zone.
        - ``min_size`` is 0: connections are opened when they are needed, the first one immediately.
        - ``command_timeout`` is 300 seconds. Connecting takes ``connect_timeout`` (10 seconds) for
          each host at most, not 60 seconds for all.
        - Hosts are tried, and encryption is chosen, by the rules of libpq; a default file for TLS
          that may not be read is ignored.
        - The session has ``application_name=aiidadb``, ``jit=off``, which makes traversals faster,
          and ``client_connection_check_interval=500ms`` where the server has that, so that
          statements end with their client.
        - Behind a pooler such as PgBouncer, the latter two are left out, and no statement is
          prepared by a name, as by ``statement_cache_size=0``.
        - A connection is reset when it is given back, as asyncpg does it, except one whose session
          is known to be unchanged.
        - Errors are asyncpg's own once the pool is open.

        Args:
            profile: The database.
            options: ``connect_timeout``, seconds for each host, login included (10), and those of
                ``asyncpg.create_pool`` but for its ``timeout``: ``min_size`` (0), ``max_size``
                (10), ``command_timeout``, seconds for a statement (300), ``server_settings``, … A
                time of None means no bound. ``max_long``: how many long calls backends may make on
                the pool at a time; ``slow_statement``: from how many seconds on their statements
                are reported; see :func:`aiidadb.open_backend`. What is sent through the pool itself
                is not reported.

        Returns:
            The open pool, the same for all callers in this loop. It stays open until a reset.

        Raises:
            PoolOptionsError: The pool is open already, with other options than these; or there is
                no such option, or no such value for it.
            UnreachableStorage: No host answered within ``connect_timeout``.
            PoolError: No asyncio event loop is running.
            ClosedError: The registry was closed.
            DatabaseError: The pool could not be opened; none of it is kept.
        """
        options = hide_secrets(options)
        entry = await self._obtain(profile, options)
        entry.pinned = True
        assert entry.pool is not None
        return entry.pool

    @contextlib.asynccontextmanager
    async def borrow(self, profile: Profile, **options: Any) -> AsyncIterator[asyncpg.Pool]:
        """The profile's pool for a while: it closes when the last borrower is done.

        Takes and raises what :meth:`get_pool` does; a pool that was opened there stays open.
        """
        options = hide_secrets(options)
        entry = await self._obtain(profile, options)
        entry.borrowers += 1
        assert entry.pool is not None
        try:
            yield entry.pool
        finally:
            entry.borrowers -= 1
            key = (id(entry.loop), profile)
            if not entry.borrowers and not entry.pinned and self._entries.get(key) is entry:
                del self._entries[key]
                await _close(entry)

    async def reset(self, profile: Profile | None = None) -> None:
        """Close the pools of the running loop, in bounded time.

        A connection that was not given back within five seconds is cut. Pools of loops that are
        closed, and from before a fork, are forgotten.

        Args:
            profile: Close this profile's pool only; None: all.
        """
        loop = require_asyncio()
        if profile is not None:
            require_profile(profile)
        self._drop_stale()
        for key, entry in list(self._entries.items()):
            if entry.loop is not loop or profile not in (None, key[1]) or entry.pool is None:
                continue
            # While the one before was closed, this one's last borrower may have closed it.
            if self._entries.get(key) is entry:
                del self._entries[key]
                await _close(entry)

    async def _obtain(self, profile: Profile, options: dict[str, Any]) -> _Entry:
        loop = require_asyncio()
        require_profile(profile)
        self._drop_stale()
        arguments = connect_arguments(profile, options)
        key = (id(loop), profile)
        while True:
            self._refuse_if_closed()
            entry = self._entries.get(key)
            if entry is None:
                return await self._open(key, loop, arguments)
            self._refuse_other_options(entry, options, arguments)
            if entry.pool is not None:
                if not entry.pool.is_closing():
                    return entry
                del self._entries[key]  # it was closed by hand
            else:
                await entry.opened.wait()  # another task opens it
                if entry.failure is not None:  # as it would here, and take as long
                    raise entry.failure

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ClosedError(
                "the pool registry was closed at the end of its `async with` block",
                advice="create a new one",
            )

    def _refuse_other_options(
        self, entry: _Entry, options: dict[str, Any], asked: dict[str, Any]
    ) -> None:
        used = entry.arguments
        other = sorted(name for name in options if asked.get(name) != used.get(name))
        if not other:
            return
        if entry.pinned:
            reset = "reset_pools()" if self is default_registry else "its registry's reset()"
            end = f"close it with {reset}"
        else:
            have = "backends that have" if entry.borrowers > 1 else "backend that has"
            end = f"close the {have} it open"
        raise PoolOptionsError(
            f"the pool of {entry.name} is already open with "
            f"{', '.join(_difference(name, used, asked) for name in other)}",
            advice=f"{end}, leave the option{'s' if len(other) > 1 else ''} out, or give "
            "open_backend() registry=PoolRegistry() for a second pool",
        )

    async def _open(
        self, key: tuple[int, Profile], loop: asyncio.AbstractEventLoop, arguments: dict[str, Any]
    ) -> _Entry:
        arguments["max_long"] = number_of_lanes(arguments.get("max_long"), arguments["max_size"])
        lanes = Lanes(arguments["max_long"], arguments["command_timeout"])
        slow = SlowStatements(arguments["slow_statement"])
        entry = _Entry(loop, os.getpid(), arguments, name_of(key[1]), lanes, slow)
        self._entries[key] = entry
        _entries.add(entry)
        try:
            pool = _make_pool(entry)
            await pool
            if not arguments["min_size"]:
                await _check_reachable(pool)
            if self._closed:  # meanwhile, and nothing would close this pool
                pool.terminate()
            self._refuse_if_closed()
            entry.pool, entry.places = pool, Places(pool.get_max_size())
            _LOGGER.info("opened the pool of %s", _described(entry))
        except BaseException as error:
            # Awaiting this pool again would "succeed" and give one that is broken.
            if self._entries.get(key) is entry:
                del self._entries[key]
            if not isinstance(error, Exception):
                raise
            ours: Exception | None = translate(error)
            entry.failure = ours or error
            if ours is None:
                raise
            raise ours from error
        finally:
            entry.opened.set()
        return entry

    def _drop_stale(self) -> None:
        for key, entry in list(self._entries.items()):
            if entry.pid != os.getpid():
                _inherited.append(self._entries.pop(key))
            elif entry.loop.is_closed():
                self._entries.pop(key).abandon()


def _make_pool(entry: _Entry) -> asyncpg.Pool:
    """Make a pool, not connected yet."""
    arguments = {
        name: value
        for name, value in entry.arguments.items()
        if name not in {"max_long", "slow_statement"}
    }
    try:
        return asyncpg.create_pool(
            **{
                **arguments,
                "connect": _connecting(arguments.get("connect")),
                "init": _preparing(entry, arguments.get("init")),
                "setup": _beginning_use(arguments.get("setup")),
                "reset": _ending_use(arguments.get("reset")),
            }
        )
    except (TypeError, ValueError, asyncpg.InterfaceError) as error:
        raise PoolOptionsError(f"asyncpg refuses the pool's options: {error}") from error


_T = TypeVar("_T")

_Callback: TypeAlias = "Callable[[asyncpg.Connection], Awaitable[None]]"


def _connecting(theirs: Callable[..., Awaitable[asyncpg.Connection]] | None) -> Any:
    """What opens a pool's connections: ours, or what the caller gave."""
    ours = Connector()

    async def connect(*positional: Any, **named: Any) -> asyncpg.Connection:
        place_found()
        if theirs is None:
            return await ours(*positional, **named)
        # Theirs most likely passes on what asyncpg's own takes.
        named["timeout"] = named.pop("connect_timeout")
        connection = await _call(lambda: theirs(*positional, **plain(named)), "connect", theirs)
        if not isinstance(connection, asyncpg.Connection):
            raise PoolOptionsError("connect must be an async function that gives a connection")
        return connection

    return connect


def _preparing(entry: _Entry, init: _Callback | None) -> _Callback:
    """What is done to each new connection."""

    async def prepare(connection: asyncpg.Connection) -> None:
        entry.connections.add(connection)
        # What the driver gives to listeners may be a proxy, with nothing behind it any more.
        connection.add_termination_listener(lambda _: _ended(entry, connection))
        await set_codecs(connection)
        if init is not None:
            await _call(partial(init, connection), "init", init)
        if entry.lost:
            entry.lost -= 1
            _LOGGER.info("replaced a lost connection in the pool of %s", entry.name)

    return prepare


def _ended(entry: _Entry, connection: asyncpg.Connection) -> None:
    """Report the end of a connection that this side did not request."""
    pool = entry.pool
    if pool is None or pool.is_closing() or connection in entry.expired:
        return
    if was_lost(connection, entry.arguments.get("max_queries", _MAX_QUERIES)):
        entry.lost += 1
        _LOGGER.warning("lost a connection in the pool of %s", entry.name)


def _described(entry: _Entry) -> str:
    """A pool, for the log; its password is in nothing of it."""
    host = entry.arguments.get("host")
    database = f"database {quote(entry.arguments.get('database'))}"
    where = "" if entry.name == database else f"{database} "
    connections = plural(entry.arguments["max_size"], "connection")
    return (
        f"{entry.name}: {where}on {quote(host)}, at most {connections}, "
        f"{entry.arguments['max_long']} for long calls"
    )


def _beginning_use(setup: _Callback | None) -> _Callback | None:
    """What is done to a connection before each use of it."""
    if setup is None:
        return None

    async def begin(connection: asyncpg.Connection) -> None:
        place_found()
        await _call(partial(setup, connection), "setup", setup)

    return begin


def _ending_use(reset: _Callback | None) -> _Callback:
    """What is done to a connection when it is given back."""
    if reset is None:
        return _reset_unless_clean

    async def end(connection: asyncpg.Connection) -> None:
        await _call(partial(reset, connection), "reset", reset)

    return end


async def _call(call: Callable[[], Awaitable[_T]], name: str, function: object) -> _T:
    """Call a function of the caller's; what it raises is the caller's own.

    Args:
        call: What calls it. Its arguments, a password perhaps, are in no variable here.
        name: The option that it was given for.
        function: The function.
    """
    with callers_own():
        called = call()
    if not inspect.isawaitable(called):
        raise PoolOptionsError(f"{name} must be an async function, not {quote(function)}")
    with callers_own():
        return await called


async def _check_reachable(pool: asyncpg.Pool) -> None:
    """A pool without connections is "open" even where there is no server: ask for one."""
    try:
        connection = await pool.acquire()
        mark_clean(connection)
        await pool.release(connection)
    except BaseException:
        pool.terminate()
        raise


def _difference(name: str, used: dict[str, Any], asked: dict[str, Any]) -> str:
    """What an open pool was opened with, and what is requested of it."""
    if name in {"password", "dsn", "passfile"}:
        return f"another {name}"
    return f"{name}={quote(used.get(name))} (requested: {quote(asked.get(name))})"


async def _close(entry: _Entry) -> None:
    """Close in peace if that works soon, else cut; not even a cancelled caller leaves it open."""
    assert entry.pool is not None
    entry.lanes.close()
    await uninterrupted(_close_soon(entry, entry.pool), within=None)


async def _close_soon(entry: _Entry, pool: asyncpg.Pool) -> None:
    closing = asyncio.ensure_future(pool.close())
    done, _ = await asyncio.wait((closing,), timeout=CLOSE_TIMEOUT)
    if not done:
        # Cancelled, the driver cuts its connections, and what runs on them would run on.
        await asyncio.gather(*map(cancel_statement, list(entry.connections)))
        await asyncio.wait((closing,), timeout=_CANCEL_TIMEOUT)
        closing.cancel()
        await asyncio.wait((closing,))
    if closing.cancelled() or closing.exception() is not None:
        pool.terminate()
    _LOGGER.info("closed the pool of %s", entry.name)


default_registry: Final = PoolRegistry()


async def get_pool(profile: Profile, **options: Any) -> asyncpg.Pool:
    """:meth:`PoolRegistry.get_pool` of the default registry, which says how the pool differs."""
    options = hide_secrets(options)
    return await default_registry.get_pool(profile, **options)


async def reset_pools(profile: Profile | None = None) -> None:
    """:meth:`PoolRegistry.reset` of the default registry."""
    await default_registry.reset(profile)
