"""Rows that lead nowhere or hold what cannot be read, written to a file before they are lost.

They are attributes and extras of nodes that are gone, and values (also of settings) of datatypes
that are unknown (0037); links, memberships, comments, logs and authinfos of what is gone (0050),
and those that name nothing, in the sqlalchemy line (49). Each step lists them in a temporary table
first, and deletes from there. Levels of logs are written before they are cut (49).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import StorageMigrationError
from aiidadb.messages import plural
from aiidadb.migration.export_file import exporting_step, open_export
from aiidadb.migration.python_step import StepOutcome
from aiidadb.migration.row_batches import read_in_batches
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import asyncpg

    from aiidadb.migration.python_step import StepContext

__all__ = ["EXPORT_LONG_LEVELS", "EXPORT_ORPHANS", "EXPORT_STRAYS"]

_ROWS_AT_ONCE: Final = 500


async def _export_strays(context: StepContext) -> StepOutcome:
    """Write the rows of attributes, extras and settings that step 0037 cannot keep."""
    return await _export(
        context,
        "lost_attributes",
        "row",
        "of attributes, extras or settings without a node or a value",
        "stray_row",
    )


async def _export_orphans(context: StepContext) -> StepOutcome:
    """Write the rows that a step deletes because what they belong to is gone, or is not named."""
    return await _export(
        context,
        "orphaned_rows",
        "row",
        "of nodes, groups, users or computers that are gone or not named",
        "orphaned_row",
    )


async def _export_long_levels(context: StepContext) -> StepOutcome:
    """Write the logs whose level is too long for AiiDA 2.x, before it is cut."""
    return await _export(
        context, "long_levels", "log", "whose level was cut to 50 characters", "long_level_row"
    )


async def _export(
    context: StepContext, prefix: str, noun: str, whose: str, query: str
) -> StepOutcome:
    """Write listed rows to one file, as JSON objects with their table, reason and columns.

    Args:
        context: The step's context.
        prefix: How the file's name begins.
        noun: What one row is.
        whose: Which rows they are.
        query: The query for them; that for their number is ``<query>_count``.

    Returns:
        The file and a note; neither where nothing is listed.

    Raises:
        StorageMigrationError: The file could not be written, or a listed row was not found.
    """
    total = await QUERIES[f"{query}_count"].fetchval(context.connection)
    if not total:
        return StepOutcome()
    content = f"{plural(total, noun)} {whose}"
    written = 0
    async with open_export(context, prefix, content) as export:
        async for rows in read_in_batches(context.connection, query, size=_ROWS_AT_ONCE):
            await export.write(_as_json(rows, is_first=written == 0))
            written += len(rows)
            context.progress("rows written to a file", written, total)
        export.add("\n]\n")
        if written != total:
            raise StorageMigrationError(
                f"{content}: only {written} of these could be written to a file; nothing was "
                "changed"
            )
        await export.publish()
    if export.path is None:
        return StepOutcome(
            notes=(f"{content}: would be written to {context.options.export_directory}",)
        )
    return StepOutcome(files=(export.path,), notes=(f"{content}: written to {export.path}",))


def _as_json(rows: Sequence[asyncpg.Record], *, is_first: bool) -> Iterator[str]:
    for row in rows:
        table, reason = json.dumps(row["subject"]), json.dumps(row["reason"])
        before = "[\n" if is_first else ",\n"
        yield f'{before}{{"table": {table}, "reason": {reason}, "row": {row["content"]}}}'
        is_first = False


EXPORT_STRAYS: Final = exporting_step("export_strays", _export_strays)
EXPORT_LONG_LEVELS: Final = exporting_step("export_long_levels", _export_long_levels)
EXPORT_ORPHANS: Final = exporting_step("export_orphans", _export_orphans)
