"""Two databases held against each other: schema by definition, content row by row."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import asyncpg

from tests.helpers.catalog import describe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["differences"]

_Row = dict[str, str]

# Where each program notes its own progress.
_BOOKKEEPING: Final = re.compile(r"alembic_version|aiidadb_.*")

# What differs in each run of a migration.
_MADE_ANEW: Final = {
    "db_dblog.uuid",
    "db_dbsetting.time",
    "django_migrations.applied",
    "django_migrations.id",
}


async def differences(
    ours: str,
    theirs: str,
    *,
    names: bool = False,
    content: bool = True,
    ignored: Collection[str] = (),
) -> list[str]:
    """Compare two databases; returns one line per difference, none where they are the same.

    Tables of bookkeeping are skipped, as are values that differ in each migration. A row is
    named by its id, a setting by its key.

    Args:
        ours: DSN of the one.
        theirs: DSN of the other.
        names: Whether constraints and indexes are compared by name too.
        content: Whether rows are compared, all values by their text, or the schemas alone.
        ignored: Columns to skip, such as ``db_dbnode.mtime``, and single values, such as
            ``db_dbsetting[repository|uuid].val``.
    """
    found = []
    one, other = [await asyncpg.connect(dsn) for dsn in (ours, theirs)]
    try:
        left, right = [await describe(connection, names=names) for connection in (one, other)]
        for table in sorted(left.keys() | right.keys()):
            if _BOOKKEEPING.fullmatch(table):
                continue
            if table not in left or table not in right:
                found.append(f"{table}: only {'ours' if table in left else 'theirs'} has it")
                continue
            found += _of_schema(table, left[table], right[table])
            if content:
                passed_over = {*ignored, *_MADE_ANEW}
                rows = [await _rows(connection, table, passed_over) for connection in (one, other)]
                found += _of_rows(table, *rows, passed_over=passed_over)
    finally:
        await one.close()
        await other.close()
    return found


def _of_schema(table: str, ours: list[str], theirs: list[str]) -> Iterator[str]:
    left, right = Counter(ours), Counter(theirs)
    for side, facts in (("ours", left - right), ("theirs", right - left)):
        for fact in sorted(facts.elements()):
            yield f"{table}: only {side} has {fact}"


def _of_rows(
    table: str,
    ours: Mapping[str, _Row],
    theirs: Mapping[str, _Row],
    *,
    passed_over: Collection[str],
) -> Iterator[str]:
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in ours or key not in theirs:
            yield f"{table}[{key}]: only {'ours' if key in ours else 'theirs'} has it"
            continue
        for column in sorted(ours[key].keys() & theirs[key].keys()):
            place = f"{table}[{key}].{column}"
            if ours[key][column] != theirs[key][column] and place not in passed_over:
                yield f"{place}: {ours[key][column]} != {theirs[key][column]}"


async def _rows(
    connection: asyncpg.Connection, table: str, passed_over: Collection[str]
) -> dict[str, _Row]:
    """The rows of a table by their ids, in tables without ids by their place in order.

    Settings are by their keys: each migration may give a new one another id.
    """
    # Not by way of jsonb, to which -0.0 and 0.0 of a column of floats are the same.
    fetched = await connection.fetch(
        f"""
        select (
            select json_object_agg(field.key, field.value::text)
            from json_each(row_to_json(entry)) as field
        ) as fields
        from "{table}" as entry
        """
    )
    rows: list[_Row] = [json.loads(row["fields"]) for row in fetched]
    kept = [
        {name: row[name] for name in sorted(row) if f"{table}.{name}" not in passed_over}
        for row in rows
    ]
    if table == "db_dbsetting":
        return {json.loads(row["key"]): row for row in kept}
    if all("id" in row for row in kept):
        return {row["id"]: row for row in kept}
    return {str(place): row for place, row in enumerate(sorted(kept, key=json.dumps))}
