"""How many rows each step of a plan will touch, counted before anything is changed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.exceptions import ConcurrencyError
from aiidadb.migration.plan import make_plan
from aiidadb.version.database_version import read_bookkeeping

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["count_rows", "plan_with_row_counts"]

_ATTEMPTS: Final = 10

_EXACT: Final = "rows of the first step"

_PATIENCE: Final = "500ms"
"""For a lock: less than ``deadlock_timeout``, so that it is this that gives way, and not a step."""


async def plan_with_row_counts(
    connection: asyncpg.Connection, wanted: SchemaVersion, patience: float | None
) -> MigrationPlan:
    """Plan a migration, and count the rows that each step will touch, in one version of the schema.

    Args:
        connection: Of a role that may read.
        wanted: The version to come to.
        patience: For how many seconds to try again where others have tables locked; None: for ever.

    Returns:
        The plan with numbers.

    Raises:
        SchemaError: The database cannot be migrated.
        ConcurrencyError: Another process migrates it meanwhile.
        asyncpg.LockNotAvailableError: Others did not release the tables in time.
    """
    changed: Exception | None = None
    attempts = 0
    start = time.monotonic()
    while attempts < _ATTEMPTS:
        bookkeeping = await read_bookkeeping(connection)
        plan = make_plan(bookkeeping, wanted)
        readable = bookkeeping.tables - bookkeeping.unreadable
        try:
            counted = await count_rows(connection, plan, readable)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            # A step keeps tables locked, or waits for one that the counting has locked.
            if patience is not None and time.monotonic() - start > patience:
                raise
            continue
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
            changed = error
        else:
            # The numbers are of this version if it is the same before and after.
            if not plan.steps or await read_bookkeeping(connection) == bookkeeping:
                return counted
        attempts += 1
    raise ConcurrencyError(
        "the database is being migrated, so that its rows cannot be counted: wait until "
        "that has finished"
    ) from changed


async def count_rows(
    connection: asyncpg.Connection, plan: MigrationPlan, tables: Collection[str]
) -> MigrationPlan:
    """Find out how many rows each step will touch, as things are at one moment.

    Args:
        connection: Of a role that may read.
        plan: What will run.
        tables: Those that are there and that the role may read.

    Returns:
        The plan with numbers.

    Raises:
        asyncpg.PostgresError: For instance, because a table or column is no longer there, or that
            another session has a table locked. It leaves a transaction of the connection's as it
            was.
    """
    if not plan.steps:
        return plan
    # The names come from the headers of steps, where only letters, digits and _ pass.
    counts = {table: f'select count(*) from "{table}"' for table in plan.tables if table in tables}  # noqa: S608
    first = plan.steps[0].step
    if first.row_count is not None:
        counts[_EXACT] = first.row_count
    sizes: dict[str, int] = {}
    if counts:
        # One statement: all are of one snapshot, which comes after the locks of all tables.
        statement = "\nunion all\n".join(
            f"select '{name}' as name, ({count})::bigint as number"
            for name, count in counts.items()
        )
        # It has some tables locked while it waits for others. A step of a migration does too, in
        # its own order.
        reading = connection.transaction(readonly=True)
        await reading.start()
        try:
            await connection.execute(f"set local lock_timeout = '{_PATIENCE}'")
            sizes = dict(await connection.fetch(statement))
        finally:
            await reading.rollback()  # with the setting, also where this is a savepoint
    exact = sizes.pop(_EXACT, None)
    counted = []
    for position, planned in enumerate(plan.steps):
        if position == 0 and exact is not None:
            counted.append(replace(planned, rows=exact, rows_are_exact=True))
            continue
        known = [sizes[table] for table in planned.tables if table in sizes]
        at_most = sum(known) if known or not planned.tables else None
        counted.append(replace(planned, rows=at_most))
    return replace(plan, steps=tuple(counted))
