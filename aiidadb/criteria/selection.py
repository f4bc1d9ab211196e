"""Runs what pypika built: queries that select, all rows together or some at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pypika import Query
from pypika.queries import QueryBuilder
from pypika.terms import Term

from aiidadb.connecting.rows.held_rows import fetch_held
from aiidadb.connecting.rows.row_cursor import RowCursor
from aiidadb.criteria.node_types import spelling_of
from aiidadb.criteria.pypika_internals import (
    SetOperation,
    common_queries,
    selects_only,
    united_queries,
)
from aiidadb.criteria.tables import nodes
from aiidadb.criteria.to_sql import bind_as_spelled
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote, show
from aiidadb.turns import array_text, in_turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import asyncpg

    from aiidadb.connecting.sessions.session import Session

__all__ = ["SelectionCursor", "fetch_columns", "fetch_selection", "is_select"]

_NAME: Final = "pypika query"
"""What they are called in reports of slow ones."""


def is_select(query: object) -> bool:
    """Whether this is a query builder, or a union of some, that does nothing but select."""
    if isinstance(query, SetOperation):
        return all(is_select(part) for part in united_queries(query))
    if not isinstance(query, QueryBuilder):
        return False
    return selects_only(query) and all(is_select(one.query) for one in common_queries(query))


async def fetch_selection(
    session: Session, query: Term, *, is_held: bool = False
) -> list[asyncpg.Record]:
    """See :meth:`aiidadb.queries.manager.QueryManager.fetch`.

    Args:
        session: Where to ask.
        query: What selects.
        is_held: Whether the query itself leaves out what Python cannot hold.
    """
    text, values = _bound(session, query)
    if is_held:
        rows = await session.fetch(text, *values, name=_NAME)
    else:
        rows = await fetch_held(session, text, values, _NAME)
    if not rows:
        await session.doubt_empty_answer()
    return rows


async def fetch_columns(
    session: Session, columns: Iterable[Term], pks: Sequence[int]
) -> list[asyncpg.Record]:
    """Columns of some nodes, by ascending pk; those that do not exist have no row.

    Args:
        session: Where to ask.
        columns: Columns of :data:`aiidadb.nodes`, or what is inside them.
        pks: The nodes. pypika does not see them: it takes seconds for a million, without a pause.
    """
    text, values = _bound(session, Query.from_(nodes).select(*columns))
    # In a subquery, where the planner cannot see how many there are: one pass over the index.
    asked = f"(select ${len(values) + 1}::text::int[])::int[]"
    text = f"{text} where db_dbnode.id = any({asked}) order by db_dbnode.id"
    return await fetch_held(session, text, [*values, await in_turn(array_text(pks))], _NAME)


class SelectionCursor(RowCursor):
    """The rows of a query, some at a time, as :class:`RowCursor` has them.

    Args:
        session: Where to ask.
        query: What :func:`fetch_selection` takes.

    Raises:
        InvalidInputError: As there.
    """

    def __init__(self, session: Session, query: Term) -> None:
        super().__init__(session, *_bound(session, query), name=_NAME)


def _bound(session: Session, query: Term) -> tuple[str, list[object]]:
    if not isinstance(query, Term):
        given = "text" if isinstance(query, str) else quote(query)
        raise InvalidTypeError(
            f"fetch() takes a pypika query, not {given}",
            advice="write one such as Query.from_(nodes).select(nodes.id); SQL of your own runs on "
            "backend.connection()",
        )
    if not is_select(query):
        raise InvalidInputError(
            f"{show(query)} selects nothing: give a pypika query such as "
            "Query.from_(nodes).select(nodes.id), one that changes nothing"
        )
    return bind_as_spelled(query, spelling_of(session.require_version()))
