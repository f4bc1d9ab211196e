"""Runs the steps of a plan: each with its bookkeeping in one transaction, wholly or not at all."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import asyncpg
from anyio import to_thread

from aiidadb.exceptions import (
    AiidaDbError,
    ConcurrencyError,
    LockTimeout,
    PermissionDenied,
    QueryTimeout,
    ReadOnlyDatabase,
    ResourceError,
    StorageMigrationError,
    UnknownOutcome,
    UnreachableStorage,
    translate,
)
from aiidadb.migration.calls import CALLS
from aiidadb.migration.connection import DRIVER_ERRORS, atomic, describe_session
from aiidadb.migration.python_step import StepContext, StepOutcome
from aiidadb.migration.report import MigrationProgress, StepReport
from aiidadb.migration.steps import PRELUDE, Call
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aiidadb.migration.report import ProgressCallback
    from aiidadb.migration.steps import MigrationStep

__all__ = ["Runner", "RunnerOptions"]

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0

# What the caller can do something about keeps its kind; all else is a step that failed.
_ACTIONABLE: Final = (
    ConcurrencyError,
    LockTimeout,
    PermissionDenied,
    QueryTimeout,
    ReadOnlyDatabase,
    ResourceError,
    UnknownOutcome,
    UnreachableStorage,
)


@dataclass(frozen=True)
class RunnerOptions:
    """How a migration is to be run.

    Attributes:
        repository: The profile's file repository, or None.
        export_directory: Where steps write files to.
        without_repository: There are no files of nodes to care for.
        dry_run: Roll everything back at the end.
        patience: For how many seconds a step tries to get tables that others use.
        progress: Told how far it is, or None.
    """

    repository: Path | None
    export_directory: Path
    without_repository: bool
    dry_run: bool
    patience: float
    progress: ProgressCallback | None


class Runner:
    """Runs steps, one after the other, on a connection that nothing else uses.

    Args:
        connection: From :func:`aiidadb.migration.connection.migrating_connection`.
        steps: What is pending, found after the lock was taken.
        settlement: A statement for the beginning of the first transaction, or None.
        options: How to run them.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        steps: Sequence[MigrationStep],
        settlement: str | None,
        options: RunnerOptions,
    ) -> None:
        self._connection = connection
        self._steps = steps
        self._settlement = settlement
        self._options = options

    async def run(self) -> tuple[StepReport, ...]:
        """Run all steps.

        Returns:
            One report a step.

        Raises:
            StorageMigrationError: A step failed; it was undone, those before it stay done.
            LockTimeout: Others did not let go of a table; as above.
            UnknownOutcome: The connection was lost during a commit.
            DatabaseError: The server, or the way to it, failed; as above.
            AiidaDbError: What a step written in Python raises; as above.
        """
        if not self._options.dry_run:
            reports = await self._run_each()
            await self._gather_statistics()
            return reports
        transaction = self._connection.transaction(isolation="read_committed")
        await transaction.start()
        try:
            # Rows that the transaction itself has written count as new, and are checked again when
            # a later step changes them; a check that waits would be in that step's way.
            await self._connection.execute("set constraints all immediate")
            return await self._run_each()
        finally:
            # Where the connection is lost, the server undoes it by itself.
            with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
                await transaction.rollback()

    async def _run_each(self) -> tuple[StepReport, ...]:
        reports = []
        if self._steps:
            await self._connection.execute(PRELUDE)
        for position, step in enumerate(self._steps):
            one = _Step(
                self._connection,
                step,
                self._settlement if position == 0 else None,
                self._options,
                partial(self._tell, position, step.name),
            )
            reports.append(await one.run())
        return tuple(reports)

    async def _gather_statistics(self) -> None:
        """Let the planner know what it has forgotten. It is of use, not needed: nothing fails."""
        tables = sorted({table for step in self._steps for table in step.tables})
        with contextlib.suppress(*DRIVER_ERRORS):
            for row in await QUERIES["migration_statistics"].fetch(self._connection, tables):
                await self._connection.execute(row["statement"])

    def _tell(self, position: int, name: str, what: str, rows: int, total: int | None) -> None:
        if self._options.progress is not None:
            number = position + 1
            self._options.progress(
                MigrationProgress(number, len(self._steps), name, what, rows, total)
            )


class _Step:
    """One step being run."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        step: MigrationStep,
        settlement: str | None,
        options: RunnerOptions,
        tell: Callable[[str, int, int | None], None],
    ) -> None:
        self._connection = connection
        self._step = step
        self._settlement = settlement
        self._options = options
        self._tell = tell

    async def run(self) -> StepReport:
        """Run it; where somebody else holds a table, again and again until patience ends."""
        begin = time.perf_counter()
        end = anyio.current_time() + self._options.patience
        pause = _FIRST_PAUSE
        while True:
            try:
                outcome = await self._attempt()
                break
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                blockers = await self._blockers()
                if anyio.current_time() >= end:
                    raise LockTimeout(
                        f"{self._outcome}: it could not have all its tables within "
                        f"{self._options.patience:g} seconds: {blockers}; end that and run again",
                        sqlstate="55P03",
                    ) from error
                self._tell(f"waiting: {blockers}", 0, None)
                await anyio.sleep(min(pause, max(end - anyio.current_time(), 0)))
                pause = min(2 * pause, _LONGEST_PAUSE)
            except DRIVER_ERRORS as error:
                raise self._explained(error) from error
            except AiidaDbError as error:
                if not isinstance(error, UnknownOutcome):
                    error.add_note(self._outcome)
                raise
        notes = [*outcome.notes, *await self._clear_away(outcome)]
        seconds = time.perf_counter() - begin
        self._tell("done", outcome.rows, outcome.rows)
        return StepReport(
            name=self._step.name,
            origin=self._step.origin,
            version=self._step.version,
            seconds=seconds,
            rows=outcome.rows,
            files=outcome.files,
            notes=tuple(notes),
        )

    @property
    def _name(self) -> str:
        return f"{self._step.version.schema_name} ({self._step.name})"

    @property
    def _outcome(self) -> str:
        if self._options.dry_run:
            return f"step {self._name} of a dry run failed, and nothing was changed"
        origin = "as it was" if self._step.origin is None else f"at {self._step.origin}"
        return f"step {self._name} was undone, and the database is {origin}"

    async def _attempt(self) -> StepOutcome:
        """Run it once. In a dry run the transaction is a savepoint of the one around all steps."""
        async with atomic(self._connection, f"step {self._name}"):
            return await self._execute()

    async def _execute(self) -> StepOutcome:
        if self._settlement is not None:
            await self._connection.execute(self._settlement)
        total = None
        if self._step.row_count is not None:
            self._tell("counting rows", 0, None)
            total = await self._connection.fetchval(self._step.row_count)
        self._tell("changing the database", 0, total)
        outcomes = []
        for part in self._step.parts:
            if isinstance(part, Call):
                outcomes.append(await CALLS[part.name](self._context()))
            else:
                await self._connection.execute(part)
        await self._connection.execute(self._step.bookkeeping)
        # What COMMIT would find fault with is found here, where it is still the step's.
        await self._connection.execute("set constraints all immediate")
        if self._options.dry_run:
            await self._drop_temporary_tables()
        rows = sum(outcome.rows for outcome in outcomes) if total is None else total
        return StepOutcome(
            rows=rows,
            files=tuple(path for outcome in outcomes for path in outcome.files),
            notes=tuple(note for outcome in outcomes for note in outcome.notes),
            after_commit=tuple(call for outcome in outcomes for call in outcome.after_commit),
        )

    def _context(self) -> StepContext:
        return StepContext(
            connection=self._connection,
            repository=self._options.repository,
            export_directory=self._options.export_directory,
            without_repository=self._options.without_repository,
            dry_run=self._options.dry_run,
            progress=self._tell,
        )

    async def _drop_temporary_tables(self) -> None:
        """Do what the commit of a step does to its temporary tables: the next may use the names."""
        rows = await QUERIES["migration_temporary_tables"].fetch(self._connection)
        if rows:
            await self._connection.execute(f"drop table {', '.join(row['name'] for row in rows)}")

    async def _clear_away(self, outcome: StepOutcome) -> list[str]:
        notes = []
        for call in () if self._options.dry_run else outcome.after_commit:
            try:
                await to_thread.run_sync(call)
            except Exception as error:
                notes.append(f"clearing away after step {self._name} failed: {error}")
        return notes

    async def _blockers(self) -> str:
        rows = await QUERIES["migration_blockers"].fetch(self._connection, list(self._step.tables))
        if not rows:
            return "another session used them"
        return "; ".join(
            f"{row['table_name']} is used by {describe_session(row)}" for row in rows[:3]
        )

    def _explained(self, error: Exception) -> Exception:
        """The error to raise: which step it was, and where the database is now."""
        ours = translate(error)
        if ours is None:
            return error
        said = _all_of(error) if isinstance(error, asyncpg.PostgresError) else str(ours)
        text = f"{self._outcome}: {said}"
        if isinstance(ours, _ACTIONABLE):
            return type(ours)(text, sqlstate=ours.sqlstate)
        return StorageMigrationError(text)


def _all_of(error: asyncpg.PostgresError) -> str:
    """Message, detail and hint of the server, in one line, with its code."""
    message = " ".join(str(error.args[0] if error.args else error).split())
    parts = [f"{message} (SQLSTATE {error.sqlstate})"]
    parts += [" ".join(text.split()) for text in (error.detail, error.hint) if text]
    return ": ".join(parts)
