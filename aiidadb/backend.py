"""One profile opened: the door to the managers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiidadb.arguments import as_flag, require_wait
from aiidadb.connecting.commit import COMMIT_TIMEOUT
from aiidadb.connecting.connection import COMMAND_TIMEOUT, require_seconds
from aiidadb.connecting.connector import CONNECT_TIMEOUT
from aiidadb.connecting.pool import PoolRegistry, default_registry
from aiidadb.connecting.pool_options import hide_secrets
from aiidadb.connecting.served import (
    SERVED_VERSIONS,
    WITH_NODE_TYPE,
    refuse_unserved,
    served,
)
from aiidadb.connecting.session import CLOSE_TIMEOUT, Session
from aiidadb.exceptions import InvalidTypeError
from aiidadb.messages import quote
from aiidadb.queries.deletion import (
    DeletionPreview,
    DeletionReport,
    delete_nodes_and_connections,
    get_nodes_to_delete,
    preview_deletion,
)
from aiidadb.queries.manager import QueryManager
from aiidadb.schema import SchemaManager
from aiidadb.settings import SettingsManager
from aiidadb.sql import QUERIES
from aiidadb.version.database_version import read_bookkeeping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    import asyncpg

    from aiidadb.connecting.profile import Profile
    from aiidadb.pks import Pks
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["SERVED_VERSIONS", "Backend", "ServerFacts", "open_backend"]

ACQUIRE_TIMEOUT: Final = 30.0
"""Seconds that a call waits for a free place in the pool, if the caller does not say."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What people want to know first of a database.

    Attributes:
        version: PostgreSQL's version, such as ``15.18``.
        size: How much disk the database takes, such as ``8 MB``.
        read_only: Whether the server takes no changes.
    """

    version: str
    size: str
    read_only: bool


class Backend:
    """An AiiDA database, opened by :func:`open_backend`.

    Attributes:
        profile: What was opened.
        queries: Questions about nodes.
        schema: The schema's version, making it new, and migrating it.
        settings: The settings that AiiDA keeps in the database.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.profile = session.profile
        self.queries = QueryManager(session)
        self.schema = SchemaManager(session)
        self.settings = SettingsManager(session)

    @property
    def version(self) -> SchemaVersion | None:
        """The schema's version as found at opening; None for an empty or unknown database."""
        return self._session.version

    async def describe_server(self) -> ServerFacts:
        """The server's version, the database's size, and whether it takes changes."""
        row = await QUERIES["server_facts"].fetchrow(self._session)
        assert row is not None
        return ServerFacts(row["server"], row["size"], row["read_only"])

    def transaction(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """All calls of every manager inside succeed or fail together, and SQL of your own.

        One inside another is a savepoint. Tasks started inside take part, one call at a time; while
        a savepoint is open, those that were started before it must not be awaited inside it.

        What your own code raises inside comes out unchanged. Cancelled while COMMIT is under way,
        the answer is waited for, for ``commit_timeout`` more seconds at most, and decides what is
        raised: ``CancelledError`` with a note that the transaction was committed, or one of the
        errors below. A second cancellation changes nothing of that.

        Yields:
            asyncpg's connection, for SQL of your own. Its errors are asyncpg's own. It can do one
            thing at a time: await each use of it before the next call of a manager.

        Raises:
            ClosedError: The backend was closed.
            ConcurrencyError: A savepoint is open, or a use of the connection is under way.
            UnknownOutcome: The connection was lost during COMMIT, or no answer came in time.
            UnreachableStorage: The connection was lost before COMMIT; nothing was changed.
            QueryTimeout: COMMIT took longer than ``command_timeout`` and was cancelled; nothing was
                changed.
            DatabaseError: The server refused to commit; nothing was changed. Or SQL of your own
                ended the transaction inside: what that committed is stored, and what came after it.
        """
        return self._session.transaction(by_caller=True)

    def connection(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """A connection of asyncpg's, for SQL of your own.

        Inside :meth:`transaction` it is the transaction's. Elsewhere it is one of the pool, which
        gets it back at the end, reset: session settings, temporary tables and locks are gone.

        Yields:
            The connection. Its errors are asyncpg's own; JSON arrives as Python values.

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

        All in one transaction: cancelled before its COMMIT, nothing is deleted. Provenance is not
        looked at: what was made from the nodes stays, see :meth:`get_nodes_to_delete` for the set
        that AiiDA's rules ask for. Files in the repository are not touched. (In the place of
        ``djsite.utils.delete_nodes_and_connections_django``.)

        Args:
            pks: One pk, or any iterable of pks or of objects with a ``pk``.
            strict: Raise where a node does not exist, instead of passing it over.
            progress: Called after each statement with the nodes deleted so far and those in all.
                What refers to the nodes goes first, and these in batches. What it raises comes out
                unchanged; nothing is deleted then.

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

        Takes and raises what that does, but for ``progress``.
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
        with served(self._session):
            return await get_nodes_to_delete(
                self._session,
                pks,
                create_forward=create_forward,
                call_calc_forward=call_calc_forward,
                call_work_forward=call_work_forward,
            )

    async def close(self, timeout: float | None = CLOSE_TIMEOUT) -> None:  # noqa: ASYNC109
        """Refuse further calls, and see that none goes on.

        Calls that still wait for a connection get a :class:`ClosedError` at once. The pool goes
        back when ``async with open_backend(…)`` ends.

        Args:
            timeout: Seconds that calls under way in other tasks get. Then their statements are
                cancelled on the server, and they raise a :class:`ClosedError`; connections that are
                not given back even so are cut. None: no bound.
        """
        if timeout is not None:
            require_wait(timeout, "timeout")
        await self._session.close(timeout)


@contextlib.asynccontextmanager
async def open_backend(
    profile: Profile,
    *,
    registry: PoolRegistry | None = None,
    schema_check: bool = True,
    acquire_timeout: float | None = ACQUIRE_TIMEOUT,
    connect_timeout: float | None = CONNECT_TIMEOUT,
    command_timeout: float | None = COMMAND_TIMEOUT,
    commit_timeout: float | None = COMMIT_TIMEOUT,
    max_long: int | None = None,
    **options: Any,
) -> AsyncIterator[Backend]:
    """Open a profile's database.

    The pool is borrowed from a registry: it is shared with all who have the profile open in this
    event loop, and closes when the last of them is done.

    Args:
        profile: From :func:`aiidadb.load_profile` or :meth:`aiidadb.Profile.from_dsn`.
        registry: Where to borrow the pool; None: the default registry.
        schema_check: False opens also what the managers cannot serve, such as an empty database or
            an old one, for ``backend.schema``.
        acquire_timeout: Seconds that a call waits for a free place in the pool, and for that alone.
        connect_timeout: Seconds for connecting to each host, login included. Left as it is, the
            profile's own holds if it has one, as by the key ``connect_timeout`` of a DSN.
        command_timeout: Seconds for a statement. Where the profile's pool is open already, this and
            ``connect_timeout`` are the pool's if they are left as they are. None for any of the
            three: no bound.
        commit_timeout: Seconds that whoever is cancelled during a COMMIT waits for the answer to
            it; None: no bound.
        max_long: How many long calls may have a connection of the pool at a time, so that short
            ones find one free: creation statistics, listings of bands without a group, deletions
            and what tells their extent, duplicate UUIDs, ancestors of more than 100 nodes, listings
            of more than 100 bands. The others wait for their turn, in order, for
            ``command_timeout`` at most. Those inside :meth:`Backend.transaction` are not counted.
            None: as the pool has it if it is open already, else a fifth of its ``max_size``, at
            least one.
        options: For ``asyncpg.create_pool``, but for ``timeout``: ``max_size`` (10), ``init``, …

    Yields:
        The open backend.

    Raises:
        NotAnAiidaDatabase: Nothing of AiiDA's is noted in the database.
        IncompatibleStorageSchema: A version that cannot be served; the message says what to do.
        CorruptStorage: The database's bookkeeping contradicts itself.
        UnreachableStorage: No host answered within ``connect_timeout``.
        DatabaseError: The server refuses.
        PoolOptionsError: The profile is open already, with other options.
        PoolTimeout: The profile is open already, and its pool was in use for too long.
    """
    pools = default_registry if registry is None else registry
    if not isinstance(pools, PoolRegistry):
        raise InvalidTypeError(f"registry must be a PoolRegistry, not {quote(registry)}")
    options = hide_secrets(options)
    require_seconds("acquire_timeout", acquire_timeout)
    require_seconds("commit_timeout", commit_timeout)
    require_seconds("connect_timeout", connect_timeout)
    require_seconds("command_timeout", command_timeout)
    schema_check = as_flag(schema_check, "schema_check")
    if connect_timeout != CONNECT_TIMEOUT:
        options["connect_timeout"] = connect_timeout
    if command_timeout != COMMAND_TIMEOUT:
        options["command_timeout"] = command_timeout
    if max_long is not None:
        options["max_long"] = max_long
    async with pools.borrow(profile, **options) as pool:
        session = Session(
            profile,
            pool,
            options,
            acquire_timeout=acquire_timeout,
            commit_timeout=commit_timeout,
        )
        bookkeeping = await session.run(read_bookkeeping)
        if schema_check:
            session.version = bookkeeping.version()
            refuse_unserved(session.version)
        else:
            with contextlib.suppress(Exception):
                session.version = bookkeeping.version()
        backend = Backend(session)
        try:
            yield backend
        finally:
            await backend.close()
