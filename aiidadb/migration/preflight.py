"""What can be seen to stand in a migration's way, looked for before the first change.

A step refuses what it cannot do, and the database stays at the version before it. But AiiDA opens
only the versions that it was made for: it is better not to set out than to be stopped on the way.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from aiidadb.exceptions import PermissionDenied, StorageMigrationError
from aiidadb.migration.obstacles import check_obstacles
from aiidadb.migration.python_step import StepContext
from aiidadb.migration.repository.move_files import check_repository
from aiidadb.migration.values.trajectories import check_trajectories
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.migration.runner import RunnerOptions

__all__ = ["check_before"]

_EXPORTS: Final = frozenset({"export_links", "export_logs", "export_workflows"})
_NOTED_IN: Final = ("alembic_version", "db_dbsetting", "django_migrations")


async def check_before(
    connection: asyncpg.Connection, plan: MigrationPlan, options: RunnerOptions
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
    tables = sorted({*plan.tables, *_NOTED_IN})
    others = await QUERIES["migration_foreign_tables"].fetch(connection, tables)
    if others:
        owner = others[0]["owner"]
        names = ", ".join(row["name"] for row in others[:3]) + (", …" if len(others) > 3 else "")
        raise PermissionDenied(
            f"tables that have to be altered belong to the role {owner} ({names}): migrate as that "
            "role, or as one that is a member of it; nothing was changed",
            sqlstate="42501",
        )
    await check_obstacles(connection, plan)
    if _EXPORTS.intersection(plan.calls) and not options.dry_run:
        await to_thread.run_sync(_check_directory, options.export_directory)
    context = StepContext(
        connection=connection,
        repository=options.repository,
        export_directory=options.export_directory,
        without_repository=options.without_repository,
        dry_run=options.dry_run,
        progress=_ignore,
    )
    if "move_trajectory_symbols" in plan.calls:
        await check_trajectories(context)
    if "move_repository" in plan.calls:
        await check_repository(context)


def _check_directory(directory: Path) -> None:
    """Blocks."""
    there = directory.absolute()
    while not there.exists():  # it is made when there is something to write
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise StorageMigrationError(
            f"what leaves the database is written to files first, and {directory} cannot be "
            "written: name another export directory; nothing was changed"
        )


def _ignore(_what: str, _rows: int, _total: int | None) -> None:
    pass
