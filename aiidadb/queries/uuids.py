"""Universally unique identifiers that are not unique, and new ones in their place."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import InvalidInputError, InvalidTypeError, NotExistent
from aiidadb.messages import quote
from aiidadb.pks import as_pk
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from aiidadb.connecting.sessions.session import Session
    from aiidadb.sql import Query

__all__ = ["UUID_TABLES", "apply_new_uuid_mapping", "get_duplicate_uuids"]

UUID_TABLES: Final = QUERIES["duplicate_uuids"].tables
"""AiiDA's tables that have a column ``uuid``."""


async def get_duplicate_uuids(session: Session, table: str) -> list[tuple[int, uuid.UUID]]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_duplicate_uuids`."""
    query = _of_table("duplicate_uuids", table)
    session.require_version()
    async with session.lane():
        rows = await query.fetch(session)
    return [(row["pk"], _as_uuid(row["uuid"])) for row in rows]


async def apply_new_uuid_mapping(
    session: Session, table: str, mapping: Mapping[int, str | uuid.UUID]
) -> None:
    """See :meth:`aiidadb.queries.manager.QueryManager.apply_new_uuid_mapping`."""
    query = _of_table("replace_uuids", table)
    if not isinstance(mapping, Mapping):
        raise InvalidTypeError(f"mapping must map pks to UUIDs, not {quote(mapping)}")
    given: dict[int, uuid.UUID] = {}
    for key, new in mapping.items():
        pk = as_pk(key)
        if pk in given:
            raise InvalidInputError(f"mapping has more than one UUID for the row with pk {pk}")
        given[pk] = _as_uuid(new)
    if not given:
        return
    session.require_version()
    async with session.transaction():
        changed = await query.fetch(session, list(given.keys()), list(given.values()))
        if missing := sorted(given.keys() - {row["pk"] for row in changed}):
            shown = f"{', '.join(map(str, missing[:10]))}{', …' if len(missing) > 10 else ''}"
            raise NotExistent(f"{table} has no rows with the pks {shown}: nothing was changed")


def _of_table(query: str, table: str) -> Query:
    if not isinstance(table, str) or table not in UUID_TABLES:
        raise (InvalidInputError if isinstance(table, str) else InvalidTypeError)(
            f"{quote(table)} is not a table of AiiDA's with UUIDs: choose among "
            f"{', '.join(UUID_TABLES)}"
        )
    return QUERIES[query].on_table(table)


def _as_uuid(value: object) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(str(value))
    except ValueError:
        raise InvalidInputError(f"{quote(value)} is not a valid UUID") from None
