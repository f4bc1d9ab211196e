"""How many rows each step of a plan will touch, counted before anything is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    import asyncpg

    from aiidadb.migration.plan import MigrationPlan

__all__ = ["count_rows"]

_EXACT: Final = "rows of the first step"

_PATIENCE: Final = "500ms"
"""For a lock: less than ``deadlock_timeout``, so that it is this that gives way, and not a step."""


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
