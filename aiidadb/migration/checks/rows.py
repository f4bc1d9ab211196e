"""Findings that a query finds, set by set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.sql import QUERIES
from aiidadb.version.schema_version import SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiidadb.migration.checks.catalogue import Kind
    from aiidadb.migration.findings import Finding
    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.sql import Query

__all__ = ["find_rows", "query_for", "read_if_fine"]

# The files that rename the type strings of groups; the last gives one to those without.
_RENAMINGS: Final = (22, 44, 49)
_WITH_NAMES: Final = "group_label_clash_before_0021"  # groups have a label afterwards


def query_for(names: Sequence[str], origin: SchemaVersion) -> Query | None:
    """The first of some queries that is for a version; None if there is none.

    A query is for all versions of a line between the first and the last that its header names.
    """
    return next(_queries_for(names, origin), None)


def _queries_for(names: Sequence[str], origin: SchemaVersion) -> Iterator[Query]:
    for name in names:
        query = QUERIES[name]
        named = (SchemaVersion.parse(schema) for schema in query.schemas)
        ends = [version for version in named if version.line == origin.line]
        if ends and min(ends) <= origin <= max(ends):
            yield query


async def read_if_fine(connection: asyncpg.Connection, query: Query) -> list[asyncpg.Record] | None:
    """Run a query that fails on the server where a value is not what it should be.

    Args:
        connection: In a transaction, which continues in any case.
        query: The query.

    Returns:
        Its rows; None where it fails.
    """
    looking = connection.transaction()
    await looking.start()
    try:
        return await query.fetch(connection)
    except (asyncpg.DataError, asyncpg.ProgramLimitExceededError):
        return None  # which rows these are takes a closer look
    finally:
        await looking.rollback()


async def find_rows(
    connection: asyncpg.Connection, plan: MigrationPlan, kind: Kind
) -> list[Finding]:
    """Run a kind's own queries, those that are for the version. Only reads.

    Args:
        connection: To the database, at the plan's origin.
        plan: What will run.
        kind: What to look for.

    Returns:
        A finding for each table that has some; none where no step of the plan is concerned.
    """
    step = kind.step_of(plan)
    if step is None:
        return []
    found: list[Finding] = []
    for query in _queries_for(kind.queries, plan.form):
        if kind.code == "group_label_clash":
            found += await _find_group_clashes(connection, plan, kind, query)
            continue
        for row in await query.fetch(connection):
            such = kind.found(
                step, row["subject"], row["number"], row["pks"], example=row["example"]
            )
            found.append(such)
    return found


async def _find_group_clashes(
    connection: asyncpg.Connection, plan: MigrationPlan, kind: Kind, query: Query
) -> list[Finding]:
    """Find all that the pending renamings bring; the step is the first that would stop."""
    pending = {
        int(planned.step.file.partition("_")[0]): planned.name
        for planned in plan.steps
        if kind.concerns(planned.step)
    }
    made = [renaming in pending for renaming in _RENAMINGS]
    for row in await query.fetch(connection, *made):
        step = await _first_to_clash(connection, query, pending)
        column = "name" if query.name == _WITH_NAMES else "label"
        rename = (
            f"update db_dbgroup set {column} = left({column}, 240) || ' (' || id || ')' "  # noqa: S608
            f"where id in ({', '.join(map(str, row['pks']))})"
        )
        return [
            kind.found(
                step,
                row["subject"],
                row["number"],
                row["pks"],
                example=row["example"],
                remedy=rename,
            )
        ]
    return []


async def _first_to_clash(
    connection: asyncpg.Connection, query: Query, pending: Mapping[int, str]
) -> str:
    for number, step in pending.items():
        # Which of the renamings will have been made once this step is done.
        made = [renaming in pending and renaming <= number for renaming in _RENAMINGS]
        if await query.fetch(connection, *made):
            return step
    raise AssertionError("what clashes in the end clashes at a step")
