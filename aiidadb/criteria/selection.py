"""Runs what pypika built: queries that select, all at once or some rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pypika.queries import QueryBuilder
from pypika.terms import Term

from aiidadb.connecting.asyncpg_internals import close_cursor
from aiidadb.connecting.held_rows import fetch_held
from aiidadb.criteria.node_types import spelling_of
from aiidadb.criteria.pypika_internals import (
    SetOperation,
    common_queries,
    selects_only,
    united_queries,
)
from aiidadb.criteria.to_sql import bind_as_spelled
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import show

if TYPE_CHECKING:
    import asyncpg

    from aiidadb.connecting.session import Session

__all__ = ["SelectionCursor", "fetch_selection", "is_select"]


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
        rows = await session.fetch(text, *values)
    else:
        rows = await fetch_held(session, text, values)
    if not rows:
        await session.doubt_empty_answer()
    return rows


class SelectionCursor:
    """The rows of a query, some at a time; used inside one transaction or snapshot.

    Left without an error, it is closed; else that is for the end of the transaction to do. The
    query itself leaves out what Python cannot hold.

    Args:
        session: Where to ask.
        query: What :func:`fetch_selection` takes.

    Raises:
        InvalidInputError: As there.
    """

    def __init__(self, session: Session, query: Term) -> None:
        self._session = session
        self._text, self._values = _bound(session, query)
        self._cursor: asyncpg.cursor.Cursor | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        cursor = self._cursor
        if kind is None and cursor is not None:
            await self._session.run(lambda _: close_cursor(cursor))

    async def fetch(self, number: int) -> list[asyncpg.Record]:
        """The next rows; fewer than that where there are no more.

        Args:
            number: How many, at least one.

        Raises:
            DatabaseError: What the server reported.
        """

        async def ask(connection: asyncpg.Connection) -> list[asyncpg.Record]:
            if self._cursor is None:
                # Without a name, which a pooler between here and the server might not know.
                statement = await connection.prepare(self._text, name="")
                self._cursor = await statement.cursor(*self._values)
            rows: list[asyncpg.Record] = await self._cursor.fetch(number)
            return rows

        is_first = self._cursor is None
        rows = await self._session.run(ask)
        if is_first and not rows:
            await self._session.doubt_empty_answer()
        return rows


def _bound(session: Session, query: Term) -> tuple[str, list[object]]:
    if not is_select(query):
        kind = InvalidInputError if isinstance(query, Term) else InvalidTypeError
        raise kind(
            f"{show(query)} selects nothing: give a pypika query such as "
            "Query.from_(nodes).select(nodes.id), one that changes nothing"
        )
    return bind_as_spelled(query, spelling_of(session.require_version()))
