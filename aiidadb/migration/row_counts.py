"""How many rows each step of a plan will touch, counted before anything is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    import asyncpg

    from aiidadb.migration.plan import MigrationPlan

__all__ = ["count_rows"]


async def count_rows(connection: asyncpg.Connection, plan: MigrationPlan) -> MigrationPlan:
    """Find out how many rows each step will touch, as things are now.

    Args:
        connection: Of a role that may read.
        plan: What will run.

    Returns:
        The plan with numbers.
    """
    if not plan.steps:
        return plan
    async with connection.transaction(readonly=True):
        found = await QUERIES["schema_tables"].fetch(connection)
        there = {row["name"] for row in found if row["readable"]}
        sizes: dict[str, int] = {}
        for table in plan.tables:
            if table in there:
                # The name comes from the header of a step, where only letters, digits and _ pass.
                statement = f'select count(*) from public."{table}"'  # noqa: S608
                sizes[table] = await connection.fetchval(statement)
        first = plan.steps[0].step
        exact = None if first.row_count is None else await connection.fetchval(first.row_count)
    counted = []
    for position, planned in enumerate(plan.steps):
        if position == 0 and exact is not None:
            counted.append(replace(planned, rows=exact, rows_are_exact=True))
            continue
        known = [sizes[table] for table in planned.tables if table in sizes]
        at_most = sum(known) if known or not planned.tables else None
        counted.append(replace(planned, rows=at_most))
    return replace(plan, steps=tuple(counted))
