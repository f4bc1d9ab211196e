"""What leaves the database, written to JSON files first: links, logs, workflows, memberships.

Of logs (0024) and legacy workflows (0032) the content is what aiida-core 1.6.9 writes, in its form,
with two differences: rows are in the order of their keys, and times of workflows keep their
microseconds, which Django cuts to milliseconds. (Times that Python cannot hold, at which AiiDA
fails, are written as PostgreSQL does.) Of links (0020), of which it writes a table for
reading, it is all that the database has of them. Memory does not grow with the rows.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import StorageMigrationError
from aiidadb.messages import plural
from aiidadb.migration.export_file import exporting_step, open_export
from aiidadb.migration.python_step import StepOutcome
from aiidadb.migration.row_batches import read_in_batches
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import asyncpg

    from aiidadb.migration.export_file import ExportFile
    from aiidadb.migration.python_step import StepContext

__all__ = ["DROP_DOUBLED_MEMBERSHIPS", "EXPORT_LINKS", "EXPORT_LOGS", "EXPORT_WORKFLOWS"]

_ROWS_AT_ONCE = 250

# Why a log leaves: how its file's name begins, and what the report calls it.
_LOG_FILES: Final = {
    "workflow": ("legacy_workflow_logs", "of legacy workflows"),
    "unknown": ("unknown_entity_logs", "of entities that AiiDA does not know"),
    "nameless": (
        "nameless_entity_logs",
        "of no existing node, and of nothing else",
    ),
    "no_node": ("no_node_entity_logs", "of nodes that do not exist"),
}
_TIMES: Final = frozenset({"ctime", "mtime", "time"})
_LINK_REASONS: Final = {
    "calculation_call": "calls by calculations",
    "calculation_return": "returns by calculations",
    "workflow_create": "creations by workflows",
}
# The keys of AiiDA's file of workflows, in order, and Django's name of each table.
_WORKFLOW_TABLES: Final = {
    "workflow": "db.dbworkflow",
    "workflow_data": "db.dbworkflowdata",
    "workflow_step": "db.dbworkflowstep",
}
# Django calls what a row refers to by the name of its class; the other backend by its column.
_COLUMNS: Final = {"user": "user_id", "parent": "parent_id", "aiida_obj": "aiida_obj_id"}


async def _export_links(context: StepContext) -> StepOutcome:
    """Write the links that step 0020 deletes to one file, with the nodes that they join.

    The rows are those that the step has listed in the temporary table ``aiidadb_departing_links``,
    and deletes from there.

    Args:
        context: The step's context.

    Returns:
        Rows written, the file, and a note. No file where nothing is listed.

    Raises:
        StorageMigrationError: The file could not be written, or a listed link was not found.
    """
    counts = await _listed(context, "departing_link_counts", "0020", _LINK_REASONS)
    total = sum(counts.values())
    if total == 0:
        return StepOutcome()
    kinds = ", ".join(f"{number} {_LINK_REASONS[reason]}" for reason, number in counts.items())
    content = f"{plural(total, 'link')} not allowed by the provenance of AiiDA 1.0 ({kinds})"
    async with open_export(context, "removed_links", content) as export:
        written = await _write_array(
            export,
            read_in_batches(context.connection, "departing_links", size=_ROWS_AT_ONCE),
            _row_as_json,
            partial(_report, context, "links written to a file", 0, total),
        )
        _check_written(content, written, total)
        await export.publish()
    return _with_file(StepOutcome(), context, export, content, written)


async def _export_logs(context: StepContext) -> StepOutcome:
    """Write the logs that step 0024 deletes to files: one for each reason that there is.

    The rows are those that the step has listed in the temporary table ``aiidadb_departing_logs``,
    and deletes from there: nothing is deleted that was not written.

    Args:
        context: The step's context.

    Returns:
        Rows written, their files, and a note on each.

    Raises:
        StorageMigrationError: A file could not be written, or a listed log was not found.
    """
    counts = await _listed(context, "departing_log_counts", "0024", _LOG_FILES)
    outcome = StepOutcome()
    total = sum(counts.values())
    for reason, number in counts.items():
        prefix, whose = _LOG_FILES[reason]
        content = f"{plural(number, 'log')} {whose}"
        report = partial(_report, context, "logs written to files", outcome.rows, total)
        async with open_export(context, prefix, content) as export:
            rows = read_in_batches(context.connection, "departing_logs", reason, size=_ROWS_AT_ONCE)
            written = await _write_array(export, rows, _log_as_json, report)
            _check_written(content, written, number)
            await export.publish()
        outcome = _with_file(outcome, context, export, content, written)
    return outcome


async def _export_workflows(context: StepContext) -> StepOutcome:
    """Write the legacy workflows, whose tables step 0032 drops, to one file.

    Args:
        context: The step's context.

    Returns:
        Rows written (of the three tables of workflows, their data and their steps), the file, and
        a note. No file where the tables are empty.

    Raises:
        StorageMigrationError: The file could not be written.
    """
    connection = context.connection
    counts = await QUERIES["legacy_workflow_counts"].fetchrow(connection)
    assert counts is not None
    total = sum(counts.values())
    if total == 0:
        return StepOutcome()
    content = f"{plural(total, 'row')} of legacy workflows, their data and steps"
    written = 0
    async with open_export(context, "legacy-workflows", content) as export:
        # AiiDA's file is one object with a key per table. Its value is a text which is itself JSON,
        # as Django's serializer makes it, or the rows themselves with the other backend.
        quote, encode_row = (
            ("", _workflow_as_json)
            if context.line == "sqlalchemy"
            else ('"', _workflow_as_quoted_json)
        )
        for opening, (key, model) in zip(("{", ", ", ", "), _WORKFLOW_TABLES.items(), strict=True):
            report = partial(_report, context, "workflows written to a file", written, total)
            encode = partial(encode_row, model)
            export.add(f'{opening}"{key}": {quote}')
            rows = read_in_batches(connection, f"legacy_{key}", size=_ROWS_AT_ONCE)
            number = await _write_array(export, rows, encode, report)
            _check_written(f"rows of {model}", number, counts[key])
            written += number
            export.add(quote)
        export.add("}")
        await export.publish()
    return _with_file(StepOutcome(), context, export, content, written)


async def _drop_doubled_memberships(context: StepContext) -> StepOutcome:
    """Write the duplicate memberships of nodes in groups to a file, and delete them.

    The first of each stays. Only the sqlalchemy line has such, before 59edaf8a8b79.

    Args:
        context: The step's context.

    Returns:
        Rows deleted, the file, and a note. No file where there are no duplicates.

    Raises:
        StorageMigrationError: The file could not be written.
    """
    connection = context.connection
    total = await QUERIES["doubled_membership_count"].fetchval(connection)
    if total == 0:
        return StepOutcome()
    content = f"{plural(total, 'duplicate membership')} of nodes in groups"
    async with open_export(context, "doubled_memberships", content) as export:
        written = await _write_array(
            export,
            read_in_batches(connection, "doubled_membership", size=_ROWS_AT_ONCE),
            _row_as_json,
            partial(_report, context, "memberships written to a file", 0, total),
        )
        _check_written(content, written, total)
        await export.publish()
    await QUERIES["doubled_membership_delete"].execute(connection)
    return _with_file(StepOutcome(), context, export, content, written)


async def _listed(
    context: StepContext, query: str, step: str, known: Mapping[str, object]
) -> dict[str, int]:
    """How many rows a step has listed to be deleted, by reason."""
    rows = await QUERIES[query].fetch(context.connection)
    counts: dict[str, int] = {row["reason"]: row["number"] for row in rows}
    if unknown := counts.keys() - known.keys():
        raise StorageMigrationError(
            f"step {step} lists rows to be deleted for the unknown reason {min(unknown)!r}: "
            "nothing was changed"
        )
    return counts


def _check_written(content: str, written: int, listed: int) -> None:
    if written != listed:
        raise StorageMigrationError(
            f"{content}: {listed} would be deleted, but only {written} could be written to a file; "
            "nothing was changed"
        )


async def _write_array(
    export: ExportFile,
    batches: AsyncIterator[Sequence[asyncpg.Record]],
    encode: Callable[[asyncpg.Record], str],
    progress: Callable[[int], None],
) -> int:
    """Write rows as a JSON array, with the separators that Python's ``json`` puts."""
    written = 0

    def pieces(rows: Sequence[asyncpg.Record], first: bool) -> Iterator[str]:
        for row in rows:
            yield encode(row) if first else f", {encode(row)}"
            first = False

    export.add("[")
    async for rows in batches:
        await export.write(pieces(rows, written == 0))
        written += len(rows)
        progress(written)
    export.add("]")
    return written


def _row_as_json(row: asyncpg.Record) -> str:
    return json.dumps(dict(row.items()), ensure_ascii=False)


def _log_as_json(row: asyncpg.Record) -> str:
    fields = dict(row.items())
    fields["time"] = _time(row["time"], "+00:00")
    metadata = fields.pop("metadata") or "null"
    return f'{json.dumps(fields, ensure_ascii=False)[:-1]}, "metadata": {metadata}}}'


def _workflow_as_json(_model: str, row: asyncpg.Record) -> str:
    fields = {
        _COLUMNS.get(key, key): _time(value, "+00:00") if key in _TIMES else value
        for key, value in row.items()
    }
    return json.dumps(fields, ensure_ascii=False)


def _workflow_as_quoted_json(model: str, row: asyncpg.Record) -> str:
    fields = {
        key: _time(value, "Z") if key in _TIMES else value
        for key, value in row.items()
        if key != "id"
    }
    text = json.dumps({"model": model, "pk": row["id"], "fields": fields})
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _time(text: str | None, zone: str) -> str | None:
    """A time in UTC as Python writes it; one that Python cannot hold as PostgreSQL does."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).isoformat() + zone
    except ValueError:  # before Christ, after 9999, or infinite
        return text


def _report(context: StepContext, what: str, before: int, total: int, done: int) -> None:
    context.progress(what, before + done, total)


def _with_file(
    outcome: StepOutcome, context: StepContext, export: ExportFile, content: str, rows: int
) -> StepOutcome:
    if export.path is None:
        note = f"{content}: would be written to {context.options.export_directory}, then deleted"
        files: tuple[Path, ...] = ()
    else:
        note = f"{content}: written to {export.path}, then deleted"
        files = (export.path,)
    return StepOutcome(
        rows=outcome.rows + rows, files=outcome.files + files, notes=(*outcome.notes, note)
    )


EXPORT_LINKS: Final = exporting_step("export_links", _export_links)
EXPORT_LOGS: Final = exporting_step("export_logs", _export_logs)
EXPORT_WORKFLOWS: Final = exporting_step("export_workflows", _export_workflows)
DROP_DOUBLED_MEMBERSHIPS: Final = exporting_step(
    "drop_doubled_memberships", _drop_doubled_memberships
)
