"""The check before a migration's first change."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from aiidadb.migration.checks.before_migrating import check_database, refuse
from aiidadb.migration.patience import with_patience
from aiidadb.migration.report import MigrationProgress
from aiidadb.migration.transaction import roll_back
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from aiidadb.migration.checks.before_migrating import Looked
    from aiidadb.migration.findings import MigrationCheck
    from aiidadb.migration.options import MigrationOptions
    from aiidadb.migration.plan import MigrationPlan

__all__ = ["check_or_refuse", "look"]


async def look(
    connection: asyncpg.Connection, plan: MigrationPlan, options: MigrationOptions
) -> MigrationCheck:
    """Find all that would stop a plan, or be lost in it, and refuse nothing. Only reads.

    Args:
        connection: To the database at the plan's origin.
        plan: What would run.
        options: How.
    """
    return (await _look(connection, plan, options)).check


async def check_or_refuse(
    connection: asyncpg.Connection, plan: MigrationPlan, options: MigrationOptions
) -> Looked:
    """Find all that would stop a plan, and refuse it where there is something. Only reads.

    Args:
        connection: The one that will migrate.
        plan: What will run.
        options: How.

    Returns:
        What was found and is not a reason to refuse, and what was listed of files.

    Raises:
        AiidaDbError: The one obstacle, where it has an error of its own.
        StorageMigrationError: Other obstacles; the notes name each and how to remove it.
        LockTimeout: Others kept a table locked for longer than the options' patience.
    """
    looked = await with_patience(
        partial(_look, connection, plan, options),
        connection,
        plan.tables,
        options.patience,
        waiting=lambda whom: _told(plan, options)(whom, 0, None),
        failed="nothing was changed: the check before the migration could not read all tables",
    )
    refuse(plan, looked.check, looked.errors, repair=options.repair)
    return looked


async def _look(
    connection: asyncpg.Connection, plan: MigrationPlan, options: MigrationOptions
) -> Looked:
    reading = connection.transaction(isolation="read_committed", readonly=True)
    await reading.start()
    try:
        await QUERIES["check_session"].fetch(connection, plan.schema)
        return await check_database(connection, plan, options, _told(plan, options))
    finally:
        await roll_back(reading, connection)


def _told(plan: MigrationPlan, options: MigrationOptions) -> Callable[[str, int, int | None], None]:
    """What reports progress to the caller before the first step."""

    def tell(what: str, rows: int, total: int | None) -> None:
        options.tell(MigrationProgress(0, len(plan.steps), "", what, rows, total))

    return tell
