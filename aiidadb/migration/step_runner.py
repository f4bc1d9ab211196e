"""Runs one step, with its bookkeeping, in one transaction: completely or not at all."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.connecting.uninterrupted import in_thread
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
from aiidadb.messages import plural
from aiidadb.migration.options import CallersError
from aiidadb.migration.patience import LOCKED, with_patience
from aiidadb.migration.python_step import StepContext, StepOutcome
from aiidadb.migration.report import StepReport
from aiidadb.migration.transaction import DRIVER_ERRORS, atomic
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiidadb.migration.options import MigrationOptions
    from aiidadb.migration.repair_step import RepairStep
    from aiidadb.migration.step_file import MigrationStep

__all__ = ["StepRunner"]

_LOGGER: Final = logging.getLogger(__name__)

# What the caller can act on keeps its kind; all else is a step that failed.
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


class StepRunner:
    """Runs one step.

    Args:
        connection: From :func:`aiidadb.migration.connection.migrating_connection`.
        step: The step, or the repair before the first one.
        settlement: A statement for the beginning of its transaction, or None.
        options: How to run it.
        tell: Receives what is being done, how many rows are done, and the total, if known.
        ahead: What steps written in Python have begun already, by their names.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        step: MigrationStep | RepairStep,
        settlement: str | None,
        options: MigrationOptions,
        tell: Callable[[str, int, int | None], None],
        ahead: Mapping[str, object] | None = None,
    ) -> None:
        self._connection = connection
        self._step = step
        self._settlement = settlement
        self._options = options
        self._tell = tell
        self._ahead = ahead or {}

    async def run(self) -> StepReport:
        """Run it; where another session holds a table, repeatedly until patience ends.

        Raises:
            StorageMigrationError: It failed and was undone.
            LockTimeout: Others did not release a table; it was undone.
            UnknownOutcome: The connection was lost during the commit.
            DatabaseError: The server, or the way to it, failed; it was undone.
            AiidaDbError: What a step written in Python raises; it was undone.
        """
        begin = time.perf_counter()
        _LOGGER.info("step %s begins", self._name)
        try:
            outcome = await with_patience(
                self._attempt,
                self._connection,
                self._step.tables,
                self._options.patience,
                waiting=lambda whom: self._tell(whom, 0, None),
                failed=f"{self._outcome}: it could not lock all its tables",
            )
        except BaseException as error:
            passed = time.perf_counter() - begin
            kind = type(error.error if isinstance(error, CallersError) else error).__name__
            _LOGGER.warning("step %s ended by %s after %.1f seconds", self._name, kind, passed)
            raise
        notes = [*outcome.notes, *await self._clear_away(outcome)]
        seconds = time.perf_counter() - begin
        rows = plural(outcome.rows, "row")
        _LOGGER.info("step %s done: %s in %.1f seconds", self._name, rows, seconds)
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
        try:
            async with atomic(self._connection, f"step {self._name}"):
                return await self._execute()
        except LOCKED:
            raise
        except DRIVER_ERRORS as error:
            raise self._explained(error) from error
        except AiidaDbError as error:
            if not isinstance(error, UnknownOutcome):
                error.add_note(self._outcome)
            raise

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
            if isinstance(part, str):
                await self._connection.execute(part)
            else:
                context = StepContext(
                    self._connection,
                    self._options,
                    self._tell,
                    self._step.version.line,
                    self._ahead.get(part.name),
                )
                outcomes.append(await part.run(context))
        if self._step.bookkeeping is not None:
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

    async def _drop_temporary_tables(self) -> None:
        """Do what the commit of a step does to its temporary tables: the next may use the names."""
        rows = await QUERIES["migration_temporary_tables"].fetch(self._connection)
        if rows:
            await self._connection.execute(f"drop table {', '.join(row['name'] for row in rows)}")

    async def _clear_away(self, outcome: StepOutcome) -> list[str]:
        notes = []
        for call in () if self._options.dry_run else outcome.after_commit:
            try:
                await in_thread(call)
            except Exception as error:
                notes.append(f"clearing away after step {self._name} failed: {error}")
        return notes

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
