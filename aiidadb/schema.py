"""The schema of a database: its version, creating it, and migrating it."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.arguments import as_flag, require_function, require_path, require_wait
from aiidadb.connecting.opening.connection import COMMAND_TIMEOUT
from aiidadb.connecting.pools.pool import expire_connections
from aiidadb.connecting.uninterrupted import clean_up_after
from aiidadb.exceptions import (
    ConcurrencyError,
    IncompatibleStorageSchema,
    InvalidInputError,
    NotAnAiidaDatabase,
    StorageMigrationError,
)
from aiidadb.migration.check_run import check_or_refuse, look
from aiidadb.migration.connection import migrating_connection, session_of_a_migration
from aiidadb.migration.migration_lock import LOCK_KEY
from aiidadb.migration.new_schema import make_schema
from aiidadb.migration.options import PATIENCE, CallersError, MigrationOptions
from aiidadb.migration.plan import MigrationPlan, find_origin, make_plan
from aiidadb.migration.process_state_index import (
    create_index,
    drop_index,
    find_index,
)
from aiidadb.migration.row_counts import plan_with_row_counts
from aiidadb.migration.runner import run_migration
from aiidadb.migration.version_by_hand import write_version
from aiidadb.sql import QUERIES
from aiidadb.version.advice import USE_A_NEWER_AIIDADB, advice_to_migrate
from aiidadb.version.database_version import read_bookkeeping
from aiidadb.version.generation import GENERATION, noted_generation, reset_version
from aiidadb.version.schema_version import (
    DJANGO_HEAD,
    MAIN_HEAD,
    SchemaVersion,
    head_for,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.migration.findings import MigrationCheck
    from aiidadb.migration.process_state_index import ProcessStateIndex
    from aiidadb.migration.report import MigrationReport, ProgressCallback
    from aiidadb.version.database_version import Bookkeeping

__all__ = ["SchemaManager"]

_COUNTED: Final[Mapping[str, str]] = {
    f"{table.removeprefix('db_db')}s": table for table in QUERIES["row_count"].tables
}
_REFRESH_TIMEOUT: Final = 5.0


class SchemaManager:
    """What ``DjangoBackendManager`` knew of the schema, and migrations; all methods are awaited.

    It serves a database of any version, an empty one too: open the backend with
    ``schema_check=False``. Versions are :class:`aiidadb.SchemaVersion` objects, which
    compare as versions (``1.0.9`` < ``1.0.45`` < ``main_0001``; also ``0edcdd5a30f0`` <
    ``main_0001``) and whose ``str()`` is AiiDA's spelling. Where a version is to be given, that
    spelling will do.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    # ------------------------------------------------------------------ what is there

    async def get_schema_version_database(self) -> SchemaVersion:
        """The version that the database says it has.

        That is the setting ``db|schemaversion`` where AiiDA 0.x and 1.x look, also in the column
        ``tval`` of the oldest databases, and ``alembic_version`` where AiiDA 2.x and the old
        SQLAlchemy backend do; that of AiiDA 0.7 to 0.9 recorded nothing, and is recognised by its
        tables. Whether all its records agree is checked by :meth:`validate_schema` and
        :meth:`migrate`.

        Raises:
            NotAnAiidaDatabase: No version of AiiDA's is recorded; the database is empty or another
                application's.
            IncompatibleStorageSchema: AiiDA 0.7's script converted it from Django, or it is of no
                line.
            CorruptStorage: What is recorded does not name exactly one version.
        """
        return (await self._bookkeeping()).recorded_version()

    async def get_schema_version_code(self) -> SchemaVersion:
        """The version that a database of this line should have.

        That is 1.0.45, the last of AiiDA 1.x, for the ``django`` line, ``0edcdd5a30f0`` for the
        ``sqlalchemy`` line, and ``main_0002`` for the ``main`` line. A database that is on its way
        to ``main_0002`` (1.0.46 to 1.0.50, or after ``0edcdd5a30f0``) gets that; so does one
        without a schema.

        Raises:
            IncompatibleStorageSchema: As :meth:`get_schema_version_database`.
            CorruptStorage: As there.
        """
        try:
            return head_for(await self.get_schema_version_database())
        except NotAnAiidaDatabase:
            return MAIN_HEAD

    async def is_database_schema_ahead(self) -> bool:
        """Whether the database is newer than :meth:`get_schema_version_code`.

        Raises:
            SchemaError: As :meth:`get_schema_version_database`.
        """
        version = await self.get_schema_version_database()
        return version > head_for(version)

    async def get_schema_generation_database(self) -> str:
        """The generation in the setting ``schema_generation``; ``"1"`` where it is not set.

        AiiDA writes it from 1.0.42 on, and treats what is not a number as ``"1"`` as well.
        """
        return noted_generation(await self._bookkeeping())

    async def get_schema_generation_code(self) -> str:
        """The generation that a database should have: ``"1"``."""
        return GENERATION

    async def get_schema_version_reset(self, schema_generation_code: str) -> SchemaVersion | None:
        """The version at which a database can move to a generation of the schema.

        Args:
            schema_generation_code: The generation.

        Returns:
            None for ``"1"``: it is the first, nothing moves to it.

        Raises:
            InvalidInputError: There is no such generation.
        """
        return reset_version(schema_generation_code)

    async def validate_schema(self) -> None:
        """Make sure that generation and version of the database are those of the code.

        Raises:
            IncompatibleStorageSchema: They are not; the message says what to do.
            CorruptStorage: What the database says of itself contradicts itself.
            NotAnAiidaDatabase: It says nothing.
        """
        bookkeeping = await self._bookkeeping()
        generation = noted_generation(bookkeeping)
        if generation != GENERATION:
            raise IncompatibleStorageSchema(
                f"the database has schema generation {generation}, and only {GENERATION} is known",
                advice=USE_A_NEWER_AIIDADB,
            )
        version = bookkeeping.version()
        head = head_for(version)
        if version > head:
            raise IncompatibleStorageSchema(
                f"the database has schema version {version}, which is ahead of {head}",
                advice=USE_A_NEWER_AIIDADB,
            )
        if version != head:
            raise IncompatibleStorageSchema(
                f"the database has schema version {version}, which is behind {head}",
                **advice_to_migrate(),
            )

    async def count_rows(self) -> dict[str, int]:
        """How many nodes, links, groups, users, computers, comments and logs there are, exactly.

        On every version of the schema, and as of one moment. It takes a scan of each table.

        Returns:
            Name, such as ``"nodes"``, to number; without those whose table is not there.

        Raises:
            DatabaseError: The role may not read one of the tables.
        """
        there = (await self._bookkeeping()).tables
        counts = ", ".join(
            f"({QUERIES['row_count'].on_table(table).text}) as {name}"
            for name, table in _COUNTED.items()
            if table in there
        )
        if not counts:
            return {}
        async with self._session.lane():
            (row,) = await self._session.fetch(f"select {counts}", name="row_count")
        return dict(row)

    async def get_unindexed_references(self) -> list[str]:
        """AiiDA's columns that refer to another table and have no index, on every version.

        Deleting from that other table scans the whole of the column's. An index counts that covers
        all rows and begins with the column.

        Returns:
            Such as ``["db_dblog.dbnode_id"]``, by name; none in a healthy database.
        """
        rows = await QUERIES["unindexed_references"].fetch(self._session, None)
        return [row["reference"] for row in rows]

    async def get_process_state_index(self) -> ProcessStateIndex | None:
        """The index on the states of processes, which :meth:`create_process_state_index` creates.

        Returns:
            One that was created by hand counts too, whatever its name. None: there is none that can
            be used, as in a database that is older than the column, or empty.
        """
        return await find_index(self._session)

    # ------------------------------------------------------------------ changing it

    async def set_schema_version_database(self, version: str | SchemaVersion) -> None:
        """Write the version where :meth:`get_schema_version_database` looks for it.

        Nothing else is changed: neither the schema nor ``django_migrations``, nor, in the
        sqlalchemy line, the setting ``db|schemaversion``, which is not a version there. It is for a
        database whose notes are known to be wrong.

        Args:
            version: What to write; of the line whose bookkeeping the database has.

        Raises:
            InvalidInputError: It is not a version, or of another line.
            NotAnAiidaDatabase: There is no table to write it to.
        """
        parsed = _parse(version)
        async with self._session.transaction():
            # No other session writes versions until the end of the transaction.
            await QUERIES["migration_lock_in_transaction"].fetch(self._session, LOCK_KEY)
            await write_version(self._session, parsed, await self._bookkeeping())

    async def initialise(self, version: str | SchemaVersion = MAIN_HEAD) -> None:
        """Make AiiDA's schema, with its bookkeeping, in an empty database.

        It is made where PostgreSQL makes new tables: in the first schema of the ``search_path``
        that is there. For ``main_0002``, where the profile names a repository, the container of
        AiiDA 2.x is made in it and the setting ``repository|uuid`` ties the two together; without,
        aiida-core opens the database only once both are there. If the database fails, the container
        is removed.

        Args:
            version: ``main_0002`` (AiiDA 2.x) or ``1.0.45`` (AiiDA 1.x).

        Raises:
            InvalidInputError: New databases can have these two versions only.
            DatabaseNotEmpty: There are tables already in that schema, or AiiDA's in another one
                of the ``search_path``; the message says whether there is anything left to do.
            StorageMigrationError: The ``search_path`` leads to no schema, or the server is reached
                through a connection pooler.
            MissingExtraError: The extra for containers is not installed.
            RepositoryError: The container cannot be made; nothing was changed.
            UnknownOutcome: The connection was lost during the commit; the container stays.
            DatabaseError: The server, or the way to it, failed; nothing was changed.
        """
        parsed = _parse(version)
        if parsed not in (DJANGO_HEAD, MAIN_HEAD):
            raise InvalidInputError(
                f"a new schema can be {MAIN_HEAD} (AiiDA 2.x) or {DJANGO_HEAD} (AiiDA 1.x), not "
                f"{parsed}"
            )
        self._refuse_transaction("initialise")
        await self._bookkeeping()  # is the backend open?
        repository = self._session.profile.repository if parsed.line == "main" else None
        async with self._connection(MigrationOptions()) as connection:
            await make_schema(connection, parsed, repository)
        await self._take_note(parsed)

    async def plan(self, target: str | SchemaVersion | None = None) -> MigrationPlan:
        """What :meth:`migrate` would do, and how many rows each step would touch. Only reads.

        Args:
            target: As for :meth:`migrate`.

        Raises:
            InvalidInputError: There is no such version.
            SchemaError: The database cannot be migrated, as for :meth:`migrate`.
            ConcurrencyError: Another process migrates it meanwhile.
            LockTimeout: Another session has tables locked for longer than ``command_timeout``.
        """
        wanted = _parse(MAIN_HEAD if target is None else target)
        patience = self._session.options.get("command_timeout", COMMAND_TIMEOUT)

        return await self._session.run(
            partial(plan_with_row_counts, wanted=wanted, patience=patience)
        )

    async def check(
        self,
        target: str | SchemaVersion | None = None,
        *,
        progress: ProgressCallback | None = None,
        without_repository: bool = False,
        export_directory: str | os.PathLike[str] | None = None,
    ) -> MigrationCheck:
        """Find everything that would stop a migration, or be lost in it, before its first change.

        Only reads: rows of the database set by set, and of each file in the profile's repository
        its status. ``aiidadb/docs/migrations.md`` lists what is looked for.

        Args:
            target: As for :meth:`migrate`.
            progress: As for :meth:`migrate`.
            without_repository: As for :meth:`migrate`.
            export_directory: As for :meth:`migrate`.

        Returns:
            What was found, in the order of the steps; nothing where there is nothing to migrate.

        Raises:
            InvalidInputError: There is no such version, or another argument cannot be used.
            SchemaError: The database cannot be migrated at all, as for :meth:`migrate`.
            ConcurrencyError: Another process migrates it meanwhile.
            LockTimeout: Another session has tables locked for longer than ``command_timeout``.
            DatabaseError: The server, or the way to it, failed.
        """
        wanted = _parse(MAIN_HEAD if target is None else target)
        require_function(progress, "progress")
        options = MigrationOptions(
            repository=self._session.profile.repository,
            export_directory=_directory(export_directory),
            without_repository=as_flag(without_repository, "without_repository"),
            progress=progress,
        )

        async def find(connection: asyncpg.Connection) -> MigrationCheck:
            plan = make_plan(await read_bookkeeping(connection), wanted)
            try:
                return await look(connection, plan, options)
            except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
                raise ConcurrencyError(
                    "the database is being migrated, so that it cannot be checked: wait until that "
                    "has finished"
                ) from error

        try:
            return await self._session.run(find)
        except CallersError as error:
            own = error.error
        raise own

    async def require_migratable(
        self,
        target: str | SchemaVersion | None = None,
        *,
        repair: bool = False,
        without_repository: bool = False,
        export_directory: str | os.PathLike[str] | None = None,
    ) -> None:
        """Raise what :meth:`migrate` would raise before its first change. Only reads.

        It looks at the way to the target, the rights of the role, what others made in the database
        and a step could not get past, the extras that steps need, the file repository, and the
        directory for exports. It does not wait for another migration.

        Args:
            target: As for :meth:`migrate`.
            repair: As there.
            without_repository: As there.
            export_directory: As there.

        Raises:
            AiidaDbError: As :meth:`migrate`; nothing was changed.
        """
        wanted = _parse(MAIN_HEAD if target is None else target)
        options = MigrationOptions(
            repository=self._session.profile.repository,
            export_directory=_directory(export_directory),
            without_repository=as_flag(without_repository, "without_repository"),
            repair=as_flag(repair, "repair"),
        )
        plan = make_plan(await self._bookkeeping(), wanted)
        if not plan.steps:
            return
        session = session_of_a_migration(self._session.profile, self._session.options)
        async with session as connection:
            await check_or_refuse(connection, plan, options)

    async def migrate(
        self,
        target: str | SchemaVersion | None = None,
        *,
        repair: bool = False,
        progress: ProgressCallback | None = None,
        dry_run: bool = False,
        without_repository: bool = False,
        export_directory: str | os.PathLike[str] | None = None,
        patience: float = PATIENCE,
    ) -> MigrationReport:
        """Bring the database to a version, step by step.

        Each step and its bookkeeping are one transaction: whatever stops the migration, the
        database is wholly at one version, and the next run resumes from there. One process alone
        migrates a database; others wait, and then find out what is left to do. Steps in which
        something leaves the database write it to files first. What :meth:`check` finds that would
        stop a step is refused before the first change. Nothing is asked: make a backup first.
        After it, this backend and all pools of this process can be used as before; other backends
        that are open keep the version that they found: open them again.

        Args:
            target: ``main_0002``, the newest, by default; ``1.0.45`` for AiiDA 1.x, or any other.
            repair: Repair what the check calls repairable, in a first step of its own, which is
                committed; without it that is refused.
            progress: Called with a :class:`~aiidadb.migration.report.MigrationProgress`, often.
                What it raises stops the migration, undoes the step that it was called for, and is
                passed on unchanged.
            dry_run: Run all steps in one transaction and roll it back. No file is written.
            without_repository: There are no files of nodes to migrate: steps that need them skip
                them, instead of refusing, where the profile's repository is missing.
            export_directory: Where files are written; the current directory by default.
            patience: For how many seconds to wait for another process that migrates this database,
                and each step for sessions that use its tables. They keep other readers out for a
                second or two at a time.

        Returns:
            The steps, with their times, rows and files; none where there was nothing to do. And
            what the check found.

        Raises:
            InvalidInputError: There is no such version, or another argument cannot be used.
            NotAnAiidaDatabase: The database is empty (see :meth:`initialise`), or another's.
            IncompatibleStorageSchema: It is ahead, unknown, or AiiDA 0.7's script converted it
                from Django.
            CorruptStorage: What it says of itself contradicts itself.
            StorageMigrationError: It cannot be done in this way, or a step failed and was undone.
            LockTimeout: Others did not release them within ``patience``; the message names them.
            UnknownOutcome: The connection was lost during a commit: run it again.
            DatabaseError: The server, or the way to it, failed; the step was undone.
        """
        wanted = _parse(MAIN_HEAD if target is None else target)
        require_function(progress, "progress")
        require_wait(patience, "patience")
        self._refuse_transaction("migrate")
        find_origin(await self._bookkeeping(), wanted)  # report what cannot be done before waiting
        directory = _directory(export_directory)
        options = MigrationOptions(
            repository=self._session.profile.repository,
            export_directory=directory,
            without_repository=as_flag(without_repository, "without_repository"),
            repair=as_flag(repair, "repair"),
            dry_run=as_flag(dry_run, "dry_run"),
            patience=patience,
            progress=progress,
        )
        try:
            async with self._connection(options) as connection:
                report = await run_migration(connection, wanted, options)
        except BaseException as error:
            # Steps may have been committed; what stopped the migration is what has to be reported.
            await clean_up_after(error, self._look_again(), within=_REFRESH_TIMEOUT)
            if not isinstance(error, CallersError):
                raise
            own = error.error
        else:
            if not options.dry_run:
                await self._take_note(report.version)
            return report
        raise own

    async def create_process_state_index(
        self, *, progress: ProgressCallback | None = None, patience: float = PATIENCE
    ) -> bool:
        """Create an index on the states of processes, by which the active ones are found.

        AiiDA's schema has no such index, and does not mind this one: AiiDA works on the database as
        before, and the server keeps the index up to date. (AiiDA's own migration of a database of
        1.x drops it.) With it, :meth:`aiidadb.QueryManager.get_processes` never reads all processes
        to find the active ones. A backend that is already open, this one too, notices it within a
        quarter of an hour.

        It is created completely or not at all. Meanwhile others can read nodes, but whoever writes
        them waits: about a second per million nodes, or, where attributes are large, as long
        as it takes to read them all. Where nobody may wait, create it by hand, with
        ``concurrently``::

            create index concurrently on db_dbnode (left(attributes ->> 'process_state', 10));
            analyze db_dbnode;

        Args:
            progress: As for :meth:`migrate`; called before each wait, with what is waited for.
            patience: For how many seconds to wait for transactions that write nodes, and for a
                process that migrates the database.

        Returns:
            Whether it was created; False: there was one.

        Raises:
            InvalidInputError: An argument cannot be used.
            IncompatibleStorageSchema: The version keeps attributes in another form than JSON.
            StorageMigrationError: The current task is inside :meth:`aiidadb.Backend.transaction`,
                the server is reached through a connection pooler, or something else is named
                ``aiidadb_process_state``.
            PermissionDenied: The role does not own AiiDA's tables.
            LockTimeout: Others did not release them within ``patience``; the message names them.
            UnknownOutcome: The connection was lost during the commit: call it again.
            DatabaseError: The server, or the way to it, failed; nothing was changed.
        """
        self._refuse_transaction("create_process_state_index")
        return await create_index(self._session, progress, patience)

    async def drop_process_state_index(
        self, *, progress: ProgressCallback | None = None, patience: float = PATIENCE
    ) -> bool:
        """Drop the index on the states of processes, whatever its name.

        Nobody can read or write nodes while it is dropped, which takes a moment. Where others use
        them, it waits for a second or two at a time, and in between lets those pass who came later.

        Args:
            progress: As for :meth:`create_process_state_index`.
            patience: For how many seconds to wait for transactions that use nodes, and for a
                process that migrates the database.

        Returns:
            Whether there was one.

        Raises:
            AiidaDbError: As :meth:`create_process_state_index`.
        """
        self._refuse_transaction("drop_process_state_index")
        return await drop_index(self._session, progress, patience)

    # ------------------------------------------------------------------ parts

    def _connection(
        self, options: MigrationOptions
    ) -> AbstractAsyncContextManager[asyncpg.Connection]:
        return migrating_connection(
            self._session.profile,
            self._session.options,
            patience=options.patience,
            waiting=options.tell_wait,
        )

    async def _bookkeeping(self) -> Bookkeeping:
        return await self._session.run(read_bookkeeping, "schema version")

    async def _look_again(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_REFRESH_TIMEOUT):
                await self._take_note((await self._bookkeeping()).version())

    async def _take_note(self, version: SchemaVersion) -> None:
        """Let this backend and the process's pools know that the schema is another."""
        self._session.version = version
        await expire_connections()

    def _refuse_transaction(self, what: str) -> None:
        if self._session.in_transaction:
            raise StorageMigrationError(
                f"{what}() commits on its own: call it outside backend.transaction()"
            )


def _parse(version: str | SchemaVersion) -> SchemaVersion:
    return version if isinstance(version, SchemaVersion) else SchemaVersion.parse(version)


def _directory(given: str | os.PathLike[str] | None) -> Path:
    return require_path(Path.cwd() if given is None else given, "export_directory")
