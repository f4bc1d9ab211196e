"""All checks of a plan before its first change.

A step refuses what it cannot do, and the database stays at the version before it. But AiiDA opens
only the versions that it was made for: it is better not to set out than to be stopped on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.migration.checks.table_owners import check_table_owners
from aiidadb.migration.checks.views_and_triggers import check_views_and_triggers
from aiidadb.migration.python_step import StepContext

if TYPE_CHECKING:
    import asyncpg

    from aiidadb.migration.options import MigrationOptions
    from aiidadb.migration.plan import MigrationPlan

__all__ = ["check_before_migrating"]


async def check_before_migrating(
    connection: asyncpg.Connection, plan: MigrationPlan, options: MigrationOptions
) -> None:
    """Refuse what cannot go well. Only reads.

    Args:
        connection: The one that will migrate.
        plan: What will run.
        options: How.

    Raises:
        PermissionDenied: Tables belong to a role that this one is no member of.
        StorageMigrationError: Views, triggers and the like stand in the way; the file repository
            that a step needs is not there, or the directory for exports cannot be written.
        MissingExtraError: What a step needs is not installed.
    """
    await check_table_owners(connection, plan)
    await check_views_and_triggers(connection, plan)
    context = StepContext(connection, options, progress=_ignore)
    for step in plan.python_steps:
        await step.check(context)


def _ignore(_what: str, _rows: int, _total: int | None) -> None:
    pass
