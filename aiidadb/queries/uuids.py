"""Universally unique identifiers that are not unique, and new ones in their place."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pypika import Query, Table, functions
from pypika.terms import Function

from aiidadb.criteria.binding import bind
from aiidadb.criteria.selection import fetch_selection
from aiidadb.exceptions import InvalidInputError, NotExistent
from aiidadb.pks import as_pks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pypika.terms import Term

    from aiidadb.connecting.session import Session

__all__ = ["UUID_TABLES", "apply_new_uuid_mapping", "get_duplicate_uuids"]

UUID_TABLES: Final = ("db_dbcomment", "db_dbcomputer", "db_dbgroup", "db_dblog", "db_dbnode")
"""AiiDA's tables that have a column ``uuid``."""


async def get_duplicate_uuids(session: Session, table: str) -> list[tuple[int, uuid.UUID]]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_duplicate_uuids`."""
    rows = _table(table)
    twice = (
        Query.from_(rows).select(rows.uuid).groupby(rows.uuid).having(functions.Count(rows.id) > 1)
    )
    query = (
        Query.from_(rows)
        .select(rows.id, rows.uuid)
        .where(rows.uuid.isin(twice))
        .orderby(rows.uuid, rows.id)
    )
    # Text in databases before 1.0.18, where doubles occur; asyncpg has a class of its own else.
    return [
        (row["id"], _as_uuid(str(row["uuid"]))) for row in await fetch_selection(session, query)
    ]


async def apply_new_uuid_mapping(
    session: Session, table: str, mapping: Mapping[int, str | uuid.UUID]
) -> None:
    """See :meth:`aiidadb.queries.manager.QueryManager.apply_new_uuid_mapping`."""
    rows = _table(table)
    if not isinstance(mapping, Mapping):
        raise InvalidInputError(f"mapping must map pks to UUIDs, not {mapping!r}")
    given = {as_pks(pk)[0]: _as_uuid(new) for pk, new in mapping.items()}
    if not given:
        return
    new = Query.select(
        Function("unnest", list(given.keys())).as_("pk"),
        Function("unnest", list(given.values())).as_("uuid"),
    ).as_("new")
    column: Term = new.uuid
    if not session.require_version().has_uuid_columns:
        column = functions.Cast(new.uuid, "varchar")  # type: ignore[no-untyped-call]
    text, values = bind(
        Query.update(rows).from_(new).set(rows.uuid, column).where(rows.id == new.pk)
    )
    async with session.transaction():
        status = await session.execute(text, *values)
        if status != f"UPDATE {len(given)}":
            raise NotExistent(await _missing(session, rows, given.keys()))


async def _missing(session: Session, rows: Table, pks: Iterable[int]) -> str:
    there = await fetch_selection(
        session, Query.from_(rows).select(rows.id).where(rows.id.isin(list(pks)))
    )
    missing = sorted(set(pks) - {row["id"] for row in there})
    shown = f"{', '.join(map(str, missing[:10]))}{', …' if len(missing) > 10 else ''}"
    return f"{rows.get_table_name()} has no rows with the pks {shown}: nothing was changed"


def _table(name: str) -> Table:
    if name not in UUID_TABLES:
        raise InvalidInputError(
            f"{name!r} is no table of AiiDA's with UUIDs: choose among {', '.join(UUID_TABLES)}"
        )
    return Table(name)


def _as_uuid(value: object) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(str(value))
    except ValueError:
        raise InvalidInputError(f"{value!r} is no UUID") from None
