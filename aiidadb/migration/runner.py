"""Runs a migration: finds what is pending, checks it, and runs one step after the other."""

from __future__ import annotations

import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from aiidadb.messages import plural
from aiidadb.migration.check_run import check_or_refuse
from aiidadb.migration.findings import MigrationCheck
from aiidadb.migration.plan import make_plan
from aiidadb.migration.repair_step import RepairStep
from aiidadb.migration.report import MigrationProgress, MigrationReport
from aiidadb.migration.step_runner import StepRunner
from aiidadb.migration.steps import PRELUDE
from aiidadb.migration.transaction import DRIVER_ERRORS, roll_back
from aiidadb.sql import QUERIES
from aiidadb.version.database_version import read_bookkeeping

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from aiidadb.migration.options import MigrationOptions
    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.migration.report import StepReport
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["run_migration"]

_LOGGER: Final = logging.getLogger(__name__)


async def run_migration(
    connection: asyncpg.Connection, target: SchemaVersion, options: MigrationOptions
) -> MigrationReport:
    """Bring the database to a version.

    Args:
        connection: From :func:`aiidadb.migration.connection.migrating_connection`: what is pending
            is found while no other process can migrate.
        target: The version that is wanted.
        options: How.

    Returns:
        One report per step, and the total time.

    Raises:
        SchemaError: There is no way to the target, or something prevents it; nothing was changed.
        StorageMigrationError: A step failed; it was undone, those before it stay done.
        LockTimeout: Others did not release a table; as above.
        UnknownOutcome: The connection was lost during a commit.
        DatabaseError: The server, or the way to it, failed; as above.
        AiidaDbError: What a step written in Python raises; as above.
    """
    begin = time.perf_counter()
    plan = make_plan(await read_bookkeeping(connection), target)
    check, listed = MigrationCheck(), None
    if plan.steps:
        looked = await check_or_refuse(connection, plan, options)
        check, listed = looked.check, looked.listed
    what = "dry run of a migration" if options.dry_run else "migration"
    steps = plural(len(plan.steps), "step")
    _LOGGER.info("%s from %s to %s: %s", what, plan.origin, plan.target, steps)
    reports = await _Runner(connection, plan, options, check, listed).run()
    seconds = time.perf_counter() - begin
    _LOGGER.info("%s done: %s in %.1f seconds", what, plural(len(reports), "step"), seconds)
    return MigrationReport(
        origin=plan.origin,
        version=plan.target,
        steps=reports,
        seconds=seconds,
        dry_run=options.dry_run,
        findings=check.findings,
    )


class _Runner:
    """Runs the steps of a plan, one after the other, on a connection that nothing else uses.

    Args:
        connection: From :func:`aiidadb.migration.connection.migrating_connection`.
        plan: What is pending, found after the lock was taken.
        options: How to run it.
        check: What was found in the database.
        listed: What the check has listed of the files of nodes.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        plan: MigrationPlan,
        options: MigrationOptions,
        check: MigrationCheck,
        listed: object,
    ) -> None:
        self._connection = connection
        self._plan = plan
        self._options = options
        self._check = check
        self._listed = listed

    async def run(self) -> tuple[StepReport, ...]:
        """Run all steps, and return one report per step."""
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
            reports = await self._run_each()
        except BaseException as error:
            await roll_back(transaction, self._connection, error)
            raise
        await roll_back(transaction, self._connection)
        return reports

    async def _run_each(self) -> tuple[StepReport, ...]:
        async with contextlib.AsyncExitStack() as stack:
            ahead = {
                step.name: await stack.enter_async_context(step.ahead(self._options, self._listed))
                for step in self._plan.python_steps
                if step.ahead is not None
            }
            return await self._run_one_after_the_other(ahead)

    async def _run_one_after_the_other(self, ahead: Mapping[str, object]) -> tuple[StepReport, ...]:
        reports = []
        if self._check.repairable:
            mending = RepairStep(self._plan)
            tell = partial(self._tell, -1, mending.name)
            one = StepRunner(self._connection, mending, None, self._options, tell)
            reports.append(await one.run())
        if self._plan.steps:
            await self._connection.execute(PRELUDE)
        for position, planned in enumerate(self._plan.steps):
            one = StepRunner(
                self._connection,
                planned.step,
                self._plan.settlement if position == 0 else None,
                self._options,
                partial(self._tell, position, planned.name),
                ahead,
            )
            reports.append(await one.run())
        return tuple(reports)

    async def _gather_statistics(self) -> None:
        """Update the planner's statistics. It is useful, not needed: nothing fails."""
        tables = list(self._plan.tables)
        with contextlib.suppress(*DRIVER_ERRORS):
            for row in await QUERIES["migration_statistics"].fetch(self._connection, tables):
                await self._connection.execute(row["statement"])

    def _tell(self, position: int, name: str, what: str, rows: int, total: int | None) -> None:
        steps = len(self._plan.steps)
        self._options.tell(MigrationProgress(position + 1, steps, name, what, rows, total))
