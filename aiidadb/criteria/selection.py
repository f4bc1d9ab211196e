"""Runs what pypika built: queries that select."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.criteria.binding import bind, is_select
from aiidadb.criteria.node_criteria import spelling_of
from aiidadb.exceptions import InvalidInputError

if TYPE_CHECKING:
    import asyncpg
    from pypika.terms import Term

    from aiidadb.connecting.session import Session

__all__ = ["fetch_selection"]


async def fetch_selection(session: Session, query: Term) -> list[asyncpg.Record]:
    """See :meth:`aiidadb.queries.manager.QueryManager.fetch`."""
    if not is_select(query):
        raise InvalidInputError(
            f"{query!s} selects nothing: give a pypika query such as "
            "Query.from_(nodes).select(nodes.id), one that changes nothing"
        )
    text, values = bind(query, node_types=spelling_of(session.require_version()))
    return await session.fetch(text, *values)
