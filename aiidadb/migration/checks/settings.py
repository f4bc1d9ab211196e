"""Settings whose value 0037 cannot keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.migration.checks.catalogue import KINDS
from aiidadb.migration.checks.json_text import judge
from aiidadb.migration.checks.rows import query_for

if TYPE_CHECKING:
    import asyncpg

    from aiidadb.migration.findings import Finding
    from aiidadb.migration.plan import MigrationPlan

__all__ = ["find_settings"]


async def find_settings(connection: asyncpg.Connection, plan: MigrationPlan) -> list[Finding]:
    """Find the settings that 0037 would export. Only reads.

    Args:
        connection: To the database at the plan's origin.
        plan: What will run.

    Returns:
        One finding, or none.
    """
    kind = KINDS["unreadable_setting"]
    step = kind.step_of(plan)
    query = query_for(("odd_settings",), plan.form)
    if step is None or query is None:
        return []
    odd = [
        row
        for row in await query.fetch(connection)
        if row["datatype"] != "json" or judge(row["written"]) != "fine"
    ]
    if not odd:
        return []
    first = odd[0]
    example = f"key {first['key']!r}, {first['datatype']} {first['moment'] or first['written']}"
    pks = [row["pk"] for row in odd]
    return [kind.found(step, "db_dbsetting", len(odd), pks, example=example)]
