"""An open profile, with the managers that work on it."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiidadb.arguments import as_flag, require_wait
from aiidadb.connecting.driver.slow_statements import SLOW_STATEMENT
from aiidadb.connecting.opening.connection import COMMAND_TIMEOUT, require_asyncio, require_seconds
from aiidadb.connecting.opening.connector import CONNECT_TIMEOUT
from aiidadb.connecting.opening.pool_options import hide_secrets, require_known
from aiidadb.connecting.pools.loan import Loan
from aiidadb.connecting.pools.pool import PoolRegistry, default_registry
from aiidadb.connecting.profiles.aiida_config import load_profile
from aiidadb.connecting.profiles.profile import Profile, name_of, require_profile
from aiidadb.connecting.sessions.commit import COMMIT_TIMEOUT
from aiidadb.connecting.sessions.served import (
    SERVED_VERSIONS,
    WITH_LINK_TYPES,
    WITH_NODE_TYPE,
    refuse_unserved,
    served,
)
from aiidadb.connecting.sessions.session import CLOSE_TIMEOUT, Session
from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.criteria.node_types import spelling_of
from aiidadb.criteria.to_sql import bind_as_spelled
from aiidadb.exceptions import InvalidTypeError, PoolError
from aiidadb.messages import Secret, quote
from aiidadb.queries.deletion import (
    DeletionPreview,
    DeletionReport,
    delete_nodes_and_connections,
    get_nodes_to_delete,
    preview_deletion,
)
from aiidadb.queries.manager import QueryManager
from aiidadb.querybuilder.builder import QueryBuilder
from aiidadb.querybuilder.shape import MAX_BYTES, MAX_DEPTH
from aiidadb.schema import SchemaManager
from aiidadb.settings import SettingsManager
from aiidadb.sql import QUERIES
from aiidadb.version.database_version import read_bookkeeping

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType
    from typing import Self

    import asyncpg
    from pypika.terms import Term

    from aiidadb.pks import Pks
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["SERVED_VERSIONS", "Backend", "BackendOpening", "ServerFacts", "open_backend"]

ACQUIRE_TIMEOUT: Final = 30.0
"""Seconds that a call waits for a free place in the pool, if the caller does not say."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The basic facts about a database.

    Attributes:
        version: PostgreSQL's version, such as ``15.18``.
        size: How much disk the database takes, such as ``8 MB``.
        read_only: Whether the server accepts no changes.
    """

    version: str
    size: str
    read_only: bool


class Backend:
    """An AiiDA database, opened by :func:`open_backend`.

    Attributes:
        profile: What was opened.
        queries: Questions about nodes.
        schema: The schema's version, creating it, and migrating it.
        settings: The settings that AiiDA keeps in the database.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.profile = session.profile
        self.queries = QueryManager(session)
        self.schema = SchemaManager(session)
        self.settings = SettingsManager(session)
        self._end: asyncio.Task[None] | None = None  # what gives the pool back later

    @property
    def version(self) -> SchemaVersion | None:
        """The schema's version as found at opening; None for an empty or unknown database."""
        return self._session.version

    async def describe_server(self) -> ServerFacts:
        """The server's version, the database's size, and whether it takes changes."""
        row = await QUERIES["server_facts"].fetchrow(self._session)
        assert row is not None
        return ServerFacts(row["server"], row["size"], row["read_only"])

    def bind(self, term: Term, *, first: int = 1) -> tuple[str, list[object]]:
        """A criterion or query as SQL text with parameters, for SQL of your own on this database.

        :func:`aiidadb.bind`, and in addition, what AiiDA 2.0 renamed is spelled as in this
        database, whether it is written as in AiiDA 1.x or 2.x. That is node types; the types of
        AiiDA's own example processes, schedulers and transports; and the column ``label`` of
        computers, which was ``name``::

            where, values = backend.bind(nodes.node_type == "data.core.structure.StructureData.")
            async with backend.connection() as connection:
                await connection.fetch(f"select id from db_dbnode where {where}", *values)

        Args:
            term: A pypika criterion, term or query builder; it is not changed.
            first: The number of the first parameter.

        Returns:
            SQL text with ``$n`` for the values, and the values.

        Raises:
            InvalidInputError: As for :func:`aiidadb.bind`.
            IncompatibleStorageSchema: The database had no AiiDA schema when it was opened.
        """
        spelling = spelling_of(self._session.require_version())
        return bind_as_spelled(term, spelling, first=first)

    def query(
        self,
        dictionary: Mapping[str, Any] | None = None,
        /,
        *,
        max_rows: int | None = None,
        timeout: float | None = None,
        max_depth: int = MAX_DEPTH,
        max_bytes: int = MAX_BYTES,
    ) -> QueryBuilder:
        """AiiDA's QueryBuilder on this database; nothing is sent before it is awaited.

        ::

            query = backend.query(orm.QueryBuilder().append(orm.StructureData).as_dict())
            rows = await query.all()

        Args:
            dictionary: A query as ``as_dict()`` of AiiDA 2.x, ``queryhelp`` of 1.x or a client
                that sends JSON has it; None: an empty one, to put together here.
            max_rows: How many rows an answer may have; None: any number.
            timeout: Seconds that each statement may take; None: as the pool says.
            max_depth: How deep the dictionary may be nested.
            max_bytes: How large it may be, about as JSON text.

        Returns:
            The query, as it stands.

        Raises:
            InvalidInputError: Something in the dictionary is not valid, or it is too large.
            InvalidTypeError: Something in it is not of the type that it must have.
            IncompatibleStorageSchema: The database had no AiiDA schema when it was opened.
        """
        return QueryBuilder(
            self._session,
            dictionary,
            max_rows=max_rows,
            timeout=timeout,
            max_depth=max_depth,
            max_bytes=max_bytes,
        )

    def transaction(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """Everything inside, calls of managers and SQL of your own, succeeds or fails together.

        One inside another is a savepoint. Tasks started inside take part, one call at a time; while
        a savepoint is open, those that were started before it must not be awaited inside it.

        What your own code raises inside is passed on unchanged. On a cancellation during COMMIT the
        answer is waited for, for ``commit_timeout`` more seconds at most, and decides what is
        raised: ``CancelledError`` with a note that the transaction was committed, or one of the
        errors below. A second cancellation does not change that.

        Yields:
            asyncpg's connection, for SQL of your own. Its errors are asyncpg's own. It can do one
            thing at a time: await each use of it before the next call of a manager. SQL that goes
            another way, through :func:`aiidadb.get_pool`, is not part of the transaction, and stays
            where that is rolled back. Leave its end to the block.

        Raises:
            ClosedError: The backend was closed.
            ConcurrencyError: A savepoint is open, or a use of the connection is under way.
            UnknownOutcome: The connection was lost during COMMIT, or no answer came in time.
            UnreachableStorage: The connection was lost before COMMIT; nothing was changed.
            QueryTimeout: COMMIT took longer than ``command_timeout`` and was cancelled; nothing was
                changed.
            DatabaseError: The server refused to commit; nothing was changed. Or SQL of your own
                ended the transaction inside: what that committed is stored, and what came after it,
                unless it began another one, which is rolled back. (An end ``AND CHAIN`` cannot be
                noticed.)
        """
        return self._session.transaction(by_caller=True)

    def connection(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """An asyncpg connection, for SQL of your own.

        Inside :meth:`transaction` it is the transaction's. Elsewhere it is one of the pool, which
        gets it back at the end, reset: session settings, temporary tables and locks are gone.

        Yields:
            The connection. Its errors are asyncpg's own; JSON arrives as Python values. What Python
            cannot hold fails the whole statement, as asyncpg has it: an ``OverflowError`` for a
            time before Christ or after 9999, a :class:`CorruptStorage` for JSON that is nested too
            deep. An infinite time is the first or last of Python's, without a time zone.

        Raises:
            ClosedError: The backend was closed, or its transaction has ended.
            DatabaseError: No connection could be made.
        """
        return self._session.connection()

    async def delete_nodes_and_connections(
        self,
        pks: Pks,
        *,
        strict: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> DeletionReport:
        """Delete nodes, with their links both ways, group memberships, comments and logs.

        All in one transaction: cancelled before its COMMIT, nothing is deleted. Provenance is
        ignored: what was made from the nodes stays; see :meth:`get_nodes_to_delete` for the set
        that AiiDA's rules ask for. Files in the repository are not touched. (Replaces
        ``djsite.utils.delete_nodes_and_connections_django``.)

        Args:
            pks: One pk, or any iterable of pks or of objects with a ``pk``.
            strict: Raise where a node does not exist, instead of skipping it.
            progress: Called after each statement with the nodes deleted so far and those in all.
                What refers to the nodes is deleted first, then the nodes, in batches. What it
                raises is passed on unchanged; nothing is deleted then.

        Returns:
            How many of each were deleted, and which pks were not there.

        Raises:
            NotExistent: With ``strict``, a node does not exist; nothing was deleted.
            IntegrityError: Something that is not AiiDA's refers to a node; nothing was deleted.
        """
        with served(self._session):
            return await delete_nodes_and_connections(
                self._session, pks, strict=strict, progress=progress
            )

    async def preview_deletion(self, pks: Pks, *, strict: bool = False) -> DeletionPreview:
        """What :meth:`delete_nodes_and_connections` would remove; nothing is changed.

        Takes and raises the same as :meth:`delete_nodes_and_connections`, except for ``progress``.
        """
        with served(self._session, since=WITH_NODE_TYPE):
            return await preview_deletion(self._session, pks, strict=strict)

    async def get_nodes_to_delete(
        self,
        pks: Pks,
        *,
        create_forward: bool = True,
        call_calc_forward: bool = True,
        call_work_forward: bool = True,
    ) -> set[int]:
        """The nodes that AiiDA's provenance rules ask to delete along with some nodes.

        The rules and their switches are those of ``aiida.tools.delete_nodes``: whatever used a
        deleted node as input goes, as does what created, returned or called it; what it created or
        called goes too, unless switched off.

        Args:
            pks: One pk, or any iterable of pks or of objects with a ``pk``.
            create_forward: Whether what a deleted calculation created goes too.
            call_calc_forward: Whether calculations that a deleted workflow called go too.
            call_work_forward: Whether workflows that a deleted workflow called go too.

        Returns:
            Their pks, those given included where they exist.
        """
        with served(self._session, since=WITH_LINK_TYPES):
            return await get_nodes_to_delete(
                self._session,
                pks,
                create_forward=create_forward,
                call_calc_forward=call_calc_forward,
                call_work_forward=call_work_forward,
            )

    async def close(self, timeout: float | None = CLOSE_TIMEOUT) -> None:  # noqa: ASYNC109
        """Refuse further calls, make sure that none is still running, and give the pool back.

        Calls that still wait for a connection get a :class:`ClosedError` immediately. The end of
        ``async with`` does this too; a second time it does nothing. Called inside
        :meth:`transaction`, it takes effect at its end, which also gives the pool back. In a
        process that was forked since, it does nothing: all of it is the parent's.

        Args:
            timeout: Seconds that calls under way in other tasks get. Then their statements are
                cancelled on the server, and they raise a :class:`ClosedError`; connections that are
                still not given back are cut. None: no bound.
        """
        if timeout is not None:
            require_wait(timeout, "timeout")
        if self._session.is_inherited:
            return
        inside = self._session.is_inside_open_transaction
        try:
            await self._session.close(timeout)
        finally:
            if not inside:
                await self._give_back()
            elif self._end is None:  # its connection is one of the pool's
                self._end = asyncio.create_task(self._end_after_transaction(), context=Context())

    async def _end_after_transaction(self) -> None:
        await self._session.close(None)
        await self._give_back()

    async def _give_back(self) -> None:
        if (loan := self._session.loan) is not None:
            await loan.end()

    async def __aenter__(self) -> Self:
        self._session.refuse_if_closed()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        version = "no known schema" if self.version is None else str(self.version)
        state = "closed" if self._session.is_closed else "open"
        return f"<aiidadb.Backend of {name_of(self.profile)}, {version}, {state}>"


class BackendOpening:
    """What :func:`open_backend` returns: a backend that is not open yet.

    ``async with open_backend(…) as backend`` opens it, and closes it at the end;
    ``backend = await open_backend(…)`` opens it, and ``await backend.close()`` closes it. One
    object opens once.
    """

    def __init__(
        self,
        profile: Profile | str | None,
        registry: PoolRegistry,
        options: dict[str, Any],
        *,
        schema_check: bool,
        acquire_timeout: float | None,
        commit_timeout: float | None,
    ) -> None:
        self._profile = profile
        self._registry = registry
        self._options = options
        self._schema_check = schema_check
        self._acquire_timeout = acquire_timeout
        self._commit_timeout = commit_timeout
        self._was_used = False
        self._backend: Backend | None = None

    def __await__(self) -> Generator[Any, None, Backend]:
        return self._open().__await__()

    async def __aenter__(self) -> Backend:
        return await self._open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._backend is not None
        await self._backend.close()

    if not TYPE_CHECKING:  # a type checker reports what is not there by itself

        def __getattr__(self, name: str) -> object:
            raise AttributeError(
                f"what open_backend() returns has no {quote(name)} until it is open: write "
                "`backend = await open_backend(…)` or `async with open_backend(…) as backend`"
            )

    def __repr__(self) -> str:
        if self._backend is not None:
            return f"<aiidadb.BackendOpening of {self._backend!r}>"
        if self._profile is None:
            what = "the default profile"
        elif isinstance(self._profile, Profile):
            what = name_of(self._profile)
        else:
            what = f"{'' if _is_dsn(self._profile) else 'profile '}{quote(self._profile)}"
        return f"<aiidadb.BackendOpening of {what}, not open>"

    async def _open(self) -> Backend:
        if self._was_used:
            raise PoolError(
                "this open_backend(…) was already awaited or entered, and opens only once",
                advice="call open_backend() again for each use",
            )
        self._was_used = True
        require_asyncio()
        profile = await _find_profile(self._profile)
        async with contextlib.AsyncExitStack() as stack:
            pool = await stack.enter_async_context(self._registry.borrow(profile, **self._options))
            session = Session(
                profile,
                pool,
                self._options,
                acquire_timeout=self._acquire_timeout,
                commit_timeout=self._commit_timeout,
            )
            bookkeeping = await session.run(read_bookkeeping, "schema version")
            if self._schema_check:
                session.version = bookkeeping.version()
                refuse_unserved(session.version)
            else:
                with contextlib.suppress(Exception):
                    session.version = bookkeeping.version()
            session.loan = Loan(stack.pop_all(), name_of(profile))
        self._backend = Backend(session)
        return self._backend


def open_backend(
    profile: Profile | str | None = None,
    *,
    registry: PoolRegistry | None = None,
    schema_check: bool = True,
    acquire_timeout: float | None = ACQUIRE_TIMEOUT,
    connect_timeout: float | None = CONNECT_TIMEOUT,
    command_timeout: float | None = COMMAND_TIMEOUT,
    commit_timeout: float | None = COMMIT_TIMEOUT,
    max_long: int | None = None,
    slow_statement: float | None = SLOW_STATEMENT,
    **options: Any,
) -> BackendOpening:
    """Open a profile's database: await what this gives, or enter it with ``async with``.

    The pool is borrowed from a registry: it is shared with all that have the profile open in this
    event loop, and closes when the last of them is done. A backend that was awaited and never
    closed gives it back when nothing refers to it any more, or at the end of ``asyncio.run``, with
    a ``ResourceWarning``.

    Args:
        profile: From :func:`aiidadb.load_profile` or :meth:`aiidadb.Profile.from_dsn`; or the name
            of a profile in AiiDA's configuration; or, with ``://`` in it, a DSN. None: the default
            profile. The configuration is read in a thread.
        registry: Where to borrow the pool; None: the default registry.
        schema_check: False opens also what the managers cannot serve, such as an empty database or
            an old one, for ``backend.schema``.
        acquire_timeout: Seconds that a call waits for a free place in the pool, and for nothing
            else.
        connect_timeout: Seconds for connecting to each host, login included. By default the
            profile's own, if it has one, for instance from the key ``connect_timeout`` of a DSN.
        command_timeout: Seconds for a statement. Where the profile's pool is open already, this and
            ``connect_timeout`` are the pool's if they are left as they are. None for any of the
            three: no bound.
        commit_timeout: Seconds that a call cancelled during a COMMIT waits for the answer to
            it; None: no bound.
        max_long: How many long calls may have a connection of the pool at a time, so that short
            ones find one free: creation statistics, listings of bands without a group, deletions
            and what reports their extent, duplicate UUIDs, ancestors of more than 100 nodes,
            listings of more than 100 bands. The others wait for their turn, in order, for
            ``command_timeout`` at most. Those inside :meth:`Backend.transaction` are not counted.
            None: as the pool has it if it is open already, else a fifth of its ``max_size``, at
            least one.
        slow_statement: Seconds from which on a statement is reported to the logger
            ``aiidadb.slow``, by its name and its time; None: none is. Left as it is, that of the
            profile's pool holds if it is open already. See ``aiidadb/docs/logging.md``.
        options: For ``asyncpg.create_pool``, except ``timeout``: ``max_size`` (10), ``init``, …

    Returns:
        An object that gives the :class:`Backend` when awaited or entered. What can be
        refused without the server is refused here, the rest there.

    Raises:
        ConfigurationError: The configuration, or a DSN, has no such profile or cannot be used.
        InvalidTypeError: The profile or registry is something else.
        NotAnAiidaDatabase: The database records no version of AiiDA's.
        IncompatibleStorageSchema: A version that cannot be served; the message says what to do.
        CorruptStorage: The database's bookkeeping contradicts itself.
        UnreachableStorage: No host answered within ``connect_timeout``.
        DatabaseError: The server refuses.
        PoolOptionsError: The profile is open already, with other options.
        PoolTimeout: The profile is open already, and its pool was in use for too long.
        PoolError: What this gave was awaited or entered a second time.
    """
    if isinstance(profile, str):
        profile = Secret(profile)  # a DSN may hold a password, which no frame is to show
    elif profile is not None:
        require_profile(profile)
    pools = default_registry if registry is None else registry
    if not isinstance(pools, PoolRegistry):
        raise InvalidTypeError(f"registry must be a PoolRegistry, not {quote(registry)}")
    options = hide_secrets(options)
    require_known(options, beside=_OWN_OPTIONS, call="open_backend()")
    require_seconds("acquire_timeout", acquire_timeout)
    require_seconds("commit_timeout", commit_timeout)
    require_seconds("connect_timeout", connect_timeout)
    require_seconds("command_timeout", command_timeout)
    require_seconds("slow_statement", slow_statement, without="no report")
    schema_check = as_flag(schema_check, "schema_check")
    if connect_timeout != CONNECT_TIMEOUT:
        options["connect_timeout"] = connect_timeout
    if command_timeout != COMMAND_TIMEOUT:
        options["command_timeout"] = command_timeout
    if slow_statement != SLOW_STATEMENT:
        options["slow_statement"] = slow_statement
    if max_long is not None:
        options["max_long"] = max_long
    return BackendOpening(
        profile,
        pools,
        options,
        schema_check=schema_check,
        acquire_timeout=acquire_timeout,
        commit_timeout=commit_timeout,
    )


# Those of open_backend() that no pool has.
_OWN_OPTIONS: Final = frozenset({"acquire_timeout", "commit_timeout", "registry", "schema_check"})


def _is_dsn(text: str) -> bool:
    return "://" in text


async def _find_profile(given: Profile | str | None) -> Profile:
    if isinstance(given, Profile):
        return given
    if given is not None and _is_dsn(given):
        return Profile.from_dsn(given)
    return await in_thread(lambda: load_profile(None if given is None else str(given)))
