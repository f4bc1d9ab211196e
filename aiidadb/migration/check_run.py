"""The check before a migration's first change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import asyncpg

from aiidadb.exceptions import LockTimeout
from aiidadb.migration.checks.before_migrating import check_database, refuse
from aiidadb.migration.migration_lock import describe_session
from aiidadb.migration.report import MigrationProgress
from aiidadb.migration.transaction import roll_back
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from aiidadb.exceptions import AiidaDbError
    from aiidadb.migration.findings import Finding, MigrationCheck
    from aiidadb.migration.options import MigrationOptions
    from aiidadb.migration.plan import MigrationPlan

__all__ = ["check_or_refuse", "look"]

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0
_NAMED_AT_MOST: Final = 3


async def look(
    connection: asyncpg.Connection, plan: MigrationPlan, options: MigrationOptions
) -> MigrationCheck:
    """Find all that would stop a plan, or be lost in it, and refuse nothing. Only reads.

    Args:
        connection: To the database at the plan's origin.
        plan: What would run.
        options: How.
    """
    check, _ = await _look(connection, plan, options)
    return check


async def check_or_refuse(
    connection: asyncpg.Connection, plan: MigrationPlan, options: MigrationOptions
) -> MigrationCheck:
    """Find all that would stop a plan, and refuse it where there is something. Only reads.

    Args:
        connection: The one that will migrate.
        plan: What will run.
        options: How.

    Returns:
        What was found and is no reason to refuse.

    Raises:
        AiidaDbError: The one thing in the way, where it has an error of its own.
        StorageMigrationError: What else is in the way; the notes say what and how to mend it.
        LockTimeout: Others kept a table locked for longer than the options' patience.
    """
    end = anyio.current_time() + options.patience
    pause = _FIRST_PAUSE
    while True:
        try:
            check, errors = await _look(connection, plan, options)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            blockers = await _blockers(connection, plan)
            if anyio.current_time() >= end:
                raise LockTimeout(
                    "nothing was changed: the check before the migration could not read all tables "
                    f"within {options.patience:g} seconds: {blockers}; end that and run again",
                    sqlstate="55P03",
                ) from error
            options.tell(MigrationProgress(0, len(plan.steps), "", f"waiting: {blockers}"))
            await anyio.sleep(min(pause, max(end - anyio.current_time(), 0)))
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            refuse(plan, check, errors, repair=options.repair)
            return check


async def _look(
    connection: asyncpg.Connection, plan: MigrationPlan, options: MigrationOptions
) -> tuple[MigrationCheck, dict[Finding, AiidaDbError]]:
    def tell(what: str, rows: int, total: int | None) -> None:
        options.tell(MigrationProgress(0, len(plan.steps), "", what, rows, total))

    reading = connection.transaction(isolation="read_committed", readonly=True)
    await reading.start()
    try:
        await QUERIES["check_session"].fetch(connection, plan.schema)
        return await check_database(connection, plan, options, tell)
    finally:
        await roll_back(reading, connection)


async def _blockers(connection: asyncpg.Connection, plan: MigrationPlan) -> str:
    rows = await QUERIES["migration_blockers"].fetch(connection, list(plan.tables))
    if not rows:
        return "another session used them"
    return "; ".join(
        f"{row['table_name']} is used by {describe_session(row)}" for row in rows[:_NAMED_AT_MOST]
    )
