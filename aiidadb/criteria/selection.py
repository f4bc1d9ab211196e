"""Runs what pypika built: queries that select."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pypika.queries import QueryBuilder
from pypika.terms import Term

from aiidadb.criteria.node_types import spelling_of
from aiidadb.criteria.pypika_internals import (
    SetOperation,
    common_queries,
    selects_only,
    united_queries,
)
from aiidadb.criteria.to_sql import bind
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import show

if TYPE_CHECKING:
    import asyncpg

    from aiidadb.connecting.session import Session

__all__ = ["fetch_selection", "is_select"]


def is_select(query: object) -> bool:
    """Whether this is a query builder, or a union of some, that does nothing but select."""
    if isinstance(query, SetOperation):
        return all(is_select(part) for part in united_queries(query))
    if not isinstance(query, QueryBuilder):
        return False
    return selects_only(query) and all(is_select(one.query) for one in common_queries(query))


async def fetch_selection(session: Session, query: Term) -> list[asyncpg.Record]:
    """See :meth:`aiidadb.queries.manager.QueryManager.fetch`."""
    if not is_select(query):
        kind = InvalidInputError if isinstance(query, Term) else InvalidTypeError
        raise kind(
            f"{show(query)} selects nothing: give a pypika query such as "
            "Query.from_(nodes).select(nodes.id), one that changes nothing"
        )
    text, values = bind(query, node_types=spelling_of(session.require_version()))
    rows = await session.fetch(text, *values)
    if not rows:
        await session.doubt_empty_answer()
    return rows
