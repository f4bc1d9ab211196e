"""Uuids that are invalid, or that two rows have.

Spellings are compared one by one only where the server finds that something is amiss: to read the
texts as uuids, and group them, takes it half of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.migration.checks.catalogue import KINDS
from aiidadb.migration.checks.rows import find_rows, query_for, read_if_fine

if TYPE_CHECKING:
    import asyncpg

    from aiidadb.migration.findings import Finding
    from aiidadb.migration.plan import MigrationPlan

__all__ = ["UUID_KINDS", "find_uuids"]

UUID_KINDS: Final = ("repeated_node_uuid", "repeated_uuid", "malformed_uuid")
"""The codes of what is found here."""


async def find_uuids(connection: asyncpg.Connection, plan: MigrationPlan) -> list[Finding]:
    """Find the uuids at which a step would stop. Only reads.

    Args:
        connection: In a transaction, to the database at the plan's origin.
        plan: What will run.

    Returns:
        A finding for each kind and table.
    """
    kinds = [kind for kind in map(KINDS.__getitem__, UUID_KINDS) if kind.step_of(plan) is not None]
    query = query_for(("uuids_doubled",), plan.form)
    if kinds and query is not None:
        rows = await read_if_fine(connection, query)
        if rows is not None and not rows[0]["doubled"]:
            return []
    return [finding for kind in kinds for finding in await find_rows(connection, plan, kind)]
