"""AiiDA's QueryBuilder, awaited."""

from __future__ import annotations

import contextlib
import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeAlias, cast, overload

from pypika import Table
from pypika.terms import Term

from aiidadb.arguments import as_count, as_flag, require_wait
from aiidadb.criteria.node_criteria import require_criterion_on
from aiidadb.criteria.node_types import spelling_of
from aiidadb.criteria.to_sql import bind_as_spelled
from aiidadb.exceptions import (
    InvalidInputError,
    InvalidTypeError,
    MultipleObjectsError,
    NotExistent,
)
from aiidadb.fresh_stack import on_fresh_stack
from aiidadb.messages import quote
from aiidadb.querybuilder.canonical import is_canonical
from aiidadb.querybuilder.compiling.compiled import ALL_ROWS, COUNT, COUNTED, STREAM, Asked, Guest
from aiidadb.querybuilder.draft import Draft
from aiidadb.querybuilder.entities import columns_of
from aiidadb.querybuilder.execution import fetch, stream, too_many
from aiidadb.querybuilder.paging import read_page_end, write_page_end
from aiidadb.querybuilder.records import Page
from aiidadb.querybuilder.rows import as_dicts, as_lists, in_steps
from aiidadb.querybuilder.shape import DEEPEST, MAX_BYTES, MAX_DEPTH, shape_of
from aiidadb.querybuilder.statements import statement_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    import asyncpg

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.querybuilder.compiling.compiled import Compiled, Field
    from aiidadb.querybuilder.dictionary import QueryDict
    from aiidadb.querybuilder.shape import Shape
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["QueryBuilder"]

Row: TypeAlias = dict[str, dict[str, Any]]
"""By tag and by field what is projected."""

_BATCH: Final = 100
_MOST_ROWS: Final = 2**31 - 1


class QueryBuilder:
    """AiiDA's QueryBuilder on an opened database: its answers can be awaited.

    It comes from :meth:`aiidadb.Backend.query`. Put together, it is as AiiDA's: ``append``,
    ``add_filter`` and the others give the builder itself, so that calls can be chained. What
    queries the database is awaited, or iterated over with ``async for``, and queries again each
    time::

        query = backend.query()
        query.append("data.core.structure.StructureData.", tag="s", project=["id", "label"])
        rows = await query.order_by({"s": {"id": "desc"}}).limit(10).all()

    A query answers as aiida-core 2.9.4 does on the same database, except for the differences listed
    in the documentation. Values come as they are stored: UUIDs as text, times
    aware in UTC, JSON as Python has it, entities as the records of this package.
    """

    def __init__(
        self,
        session: Session,
        dictionary: Mapping[str, Any] | None = None,
        *,
        max_rows: int | None = None,
        timeout: float | None = None,
        max_depth: int = MAX_DEPTH,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._session = session
        self._draft: Draft | None = None
        self._known: Shape | None = None
        self._ready: tuple[Shape, Asked, Compiled] | None = None
        self._guests: list[Guest] = []
        self._max_rows = None if max_rows is None else _as_number(max_rows, "max_rows")
        if timeout is not None:
            require_wait(timeout, "timeout")
        self._timeout = timeout
        self._max_depth = as_count(max_depth, "max_depth")
        if max_depth > DEEPEST:
            raise InvalidInputError(f"max_depth is {DEEPEST} at most, not {quote(max_depth)}")
        self._max_bytes = as_count(max_bytes, "max_bytes")
        if dictionary is None:
            return
        if isinstance(dictionary, dict) and is_canonical(dictionary):
            try:
                self._known = self._shape_of(cast("QueryDict", dictionary))
                # Of any other shape a draft is made where one is asked for.
                if not self._known.is_exact:
                    self._draft = Draft.read(dictionary)
            except InvalidTypeError:  # it may hold classes of the caller's, or say what is wrong
                self._draft = Draft.read(dictionary)
        else:
            self._draft = Draft.read(dictionary)
        if self._draft is None or self._draft.query["path"]:
            self._statement(self._shape())  # so that what is not valid is refused here

    # ------------------------------------------------------------ putting it together

    def append(
        self,
        cls: object = None,
        entity_type: str | Sequence[str] | None = None,
        tag: str | None = None,
        filters: object = None,
        project: object = None,
        subclassing: bool = True,
        edge_tag: str | None = None,
        edge_filters: object = None,
        edge_project: object = None,
        outerjoin: bool = False,
        joining_keyword: str | None = None,
        joining_value: object = None,
        orm_base: str | None = None,
        **joining: object,
    ) -> QueryBuilder:
        """Add a vertex to the path.

        Args:
            cls: A class of aiida-core's, one of AiiDA's strings for a type, or a list of either.
            entity_type: The same; one of both is given.
            tag: What the vertex is called; a name is made if there is none.
            filters: What it must be.
            project: What is projected of it.
            subclassing: Whether subclasses are meant as well. The name of the class, the last part
                of a node type, is then not compared. A type that nothing has gives no rows.
            edge_tag: What the edge to the vertex before is called.
            edge_filters: What the edge must be.
            edge_project: What is projected of the edge.
            outerjoin: Whether what has no such vertex is kept.
            joining_keyword: How it is joined, such as ``with_incoming``.
            joining_value: The tag of the vertex that it is joined to.
            orm_base: The entity, where the type alone does not say it.
            joining: Instead of both, one of the keywords, as in ``with_incoming="structure"``,
                or ``direction``.

        Returns:
            The builder.

        Raises:
            InvalidInputError: Something in it is not valid.
            InvalidTypeError: Something in it is not of the type that it must have.
        """
        self._change().append(
            cls,
            entity_type,
            tag,
            filters,
            project,
            subclassing=subclassing,
            edge_tag=edge_tag,
            edge_filters=edge_filters,
            edge_project=edge_project,
            outerjoin=outerjoin,
            joining_keyword=joining_keyword,
            joining_value=joining_value,
            orm_base=orm_base,
            **joining,
        )
        return self

    def inputs(self, **vertex: Any) -> QueryBuilder:
        """Append the inputs of the last vertex; takes and raises what :meth:`append` does."""
        return self._append_next("with_outgoing", vertex)

    def outputs(self, **vertex: Any) -> QueryBuilder:
        """Append the outputs of the last vertex; takes and raises what :meth:`append` does."""
        return self._append_next("with_incoming", vertex)

    def children(self, **vertex: Any) -> QueryBuilder:
        """Append the descendants of the last vertex; takes and raises what :meth:`append` does."""
        return self._append_next("with_ancestors", vertex)

    def parents(self, **vertex: Any) -> QueryBuilder:
        """Append the ancestors of the last vertex; takes and raises what :meth:`append` does."""
        return self._append_next("with_descendants", vertex)

    def add_filter(self, tag: object, filters: object) -> QueryBuilder:
        """Add to what a vertex or an edge must be.

        Args:
            tag: Of the vertex or edge, or the class that one vertex was appended with.
            filters: In AiiDA's form; those on the same key are replaced. Or a pypika criterion on
                the vertex's table, such as ``nodes.label == "silicon"``, which comes on top.

        Returns:
            The builder.

        Raises:
            InvalidInputError: There is no such tag.
            InvalidTypeError: It is neither a dictionary nor a criterion.
        """
        draft = self._change()
        if isinstance(filters, Term):
            version = self._session.require_version()
            bind = partial(_bound, filters, version)
            self._guests.append(Guest(draft.tag_of(tag), bind, filters))
        else:
            draft.add_filter(tag, filters)
        return self

    def add_projection(self, tag: object, projections: object) -> QueryBuilder:
        """Say what is projected of a vertex or an edge, in place of what was said before.

        Args:
            tag: Of the vertex or edge, or the class that one vertex was appended with.
            projections: A field, or several: names, or dictionaries such as
                ``{"attributes.energy": {"cast": "f"}}``; ``*`` is a record, ``**`` every column.

        Returns:
            The builder.

        Raises:
            InvalidInputError: There is no such tag, or it is not a projection.
            InvalidTypeError: Something in it is not of the type that it must have.
        """
        self._change().add_projection(tag, projections)
        return self

    def order_by(self, order: object) -> QueryBuilder:
        """Say how rows are ordered, in place of what was said before.

        Args:
            order: By tag what to order by, such as ``{"node": ["label", {"id": "desc"}]}``, or a
                list of such dictionaries.

        Returns:
            The builder.

        Raises:
            InvalidInputError: There is no such tag or order.
            InvalidTypeError: Something in it is not of the type that it must have.
        """
        self._change().order_by(order)
        return self

    def limit(self, limit: int | None) -> QueryBuilder:
        """Say how many rows there are at most.

        Args:
            limit: How many; None: all.

        Returns:
            The builder.

        Raises:
            InvalidInputError: It is negative, or beyond 64 bits.
            InvalidTypeError: It is not an integer.
        """
        self._change().limit(limit)
        return self

    def offset(self, offset: int | None) -> QueryBuilder:
        """Say how many rows are skipped; takes and raises what :meth:`limit` does."""
        self._change().offset(offset)
        return self

    def distinct(self, value: bool = True) -> QueryBuilder:
        """Say whether equal rows are given once.

        Args:
            value: Whether they are.

        Returns:
            The builder.

        Raises:
            InvalidTypeError: It is neither True nor False.
        """
        self._change().distinct(value)
        return self

    # ------------------------------------------------------------ what it is

    def as_dict(self) -> QueryDict:
        """The query as AiiDA 2.x's ``as_dict()`` gives it, for ``from_dict()`` there.

        Returns:
            The dictionary, which is a copy.

        Raises:
            InvalidInputError: A pypika criterion was added, which AiiDA has no form for.
        """
        if self._guests:
            raise InvalidInputError("the query has a pypika criterion, which AiiDA has no form for")
        return self._drafted().as_dict()

    def sql(self) -> tuple[str, list[object]]:
        """The statement that :meth:`all` sends.

        Returns:
            SQL with ``$n``, and the parameters as asyncpg takes them.

        Raises:
            InvalidInputError: Something in the query is not valid.
            InvalidTypeError: Something in it is not of the type that it must have.
        """
        shape = self._shape()
        compiled = self._statement(shape)
        return compiled.text, compiled.arguments(shape.values)

    def __copy__(self) -> QueryBuilder:
        """A builder of the same query on the same backend; from here on they are independent."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._draft = copy.deepcopy(self._draft)
        made._guests = [*self._guests]
        return made

    def __deepcopy__(self, memo: Mapping[int, object]) -> QueryBuilder:
        return self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise InvalidTypeError(
            "a query is of an open backend and cannot be pickled: pickle what as_dict() gives"
        )

    def __repr__(self) -> str:
        tags = ", ".join(vertex["tag"] for vertex in self._query["path"])
        return f"<aiidadb.QueryBuilder of {tags or 'nothing yet'}>"

    # ------------------------------------------------------------ asking the database

    @overload
    async def all(
        self, batch_size: int | None = None, flat: Literal[False] = False
    ) -> list[list[Any]]: ...

    @overload
    async def all(self, batch_size: int | None = None, *, flat: Literal[True]) -> list[Any]: ...

    async def all(self, batch_size: int | None = None, flat: bool = False) -> list[Any]:
        """All rows.

        Args:
            batch_size: How many rows are fetched at a time; None: all together.
            flat: Whether all rows are put into one list.

        Returns:
            A list of what is projected for each row: vertices in the order of the path, then edges.

        Raises:
            InvalidInputError: Something in the query is not valid.
            ResourceError: There are more rows than ``max_rows``.
            DatabaseError: What the server reported.
        """
        rows = await self._rows(as_lists, batch_size)
        return [one for row in rows for one in row] if as_flag(flat, "flat") else rows

    async def dict(self, batch_size: int | None = None) -> list[Row]:
        """All rows as dictionaries.

        Args:
            batch_size: How many rows are fetched at a time; None: all together.

        Returns:
            For each row by tag, and by field, what is projected.

        Raises:
            InvalidInputError: Something in the query is not valid.
            ResourceError: There are more rows than ``max_rows``.
            DatabaseError: What the server reported.
        """
        return await self._rows(as_dicts, batch_size)

    @overload
    async def first(self, flat: Literal[False] = False) -> list[Any] | None: ...

    @overload
    async def first(self, flat: Literal[True]) -> Any: ...

    async def first(self, flat: bool = False) -> Any:
        """The first row, whatever the limit is.

        Args:
            flat: Whether a row of one value is that value.

        Returns:
            What is projected; None where there is no row.

        Raises:
            InvalidInputError: Something in the query is not valid.
            DatabaseError: What the server reported.
        """
        rows = await self._some(1)
        if not rows:
            return None
        return rows[0][0] if as_flag(flat, "flat") and len(rows[0]) == 1 else rows[0]

    async def one(self) -> list[Any]:
        """The only row, whatever the limit is.

        Returns:
            What is projected.

        Raises:
            MultipleObjectsError: There are several rows.
            NotExistent: There is none.
            InvalidInputError: Something in the query is not valid.
            DatabaseError: What the server reported.
        """
        rows = await self._some(2)
        if not rows:
            raise NotExistent("the query has no row")
        if len(rows) > 1:
            raise MultipleObjectsError("the query has more than one row")
        return rows[0]

    async def count(self) -> int:
        """How many rows there are, with limit, offset and distinct.

        Returns:
            The number.

        Raises:
            InvalidInputError: Something in the query is not valid.
            DatabaseError: What the server reported.
        """
        return await self._count(self._shape())

    @overload
    async def all_and_count(self, flat: Literal[False] = False) -> tuple[list[list[Any]], int]: ...

    @overload
    async def all_and_count(self, flat: Literal[True]) -> tuple[list[Any], int]: ...

    async def all_and_count(self, flat: bool = False) -> tuple[list[Any], int]:
        """All rows, and how many there would be without the limit, as a list in parts needs both.

        Where distinct rows are asked for, or filters look into JSON, one statement gives both: the
        server does once what :meth:`all` and :meth:`count` after each other have it do twice.

        Args:
            flat: Whether all rows are put into one list.

        Returns:
            The rows as :meth:`all` gives them, and the number, from which the rows that the offset
            leaves out are missing too.

        Raises:
            InvalidInputError: Something in the query is not valid.
            ResourceError: There are more rows than ``max_rows``.
            DatabaseError: What the server reported.
        """
        shape = self._shape()
        *_, limit, offset = shape.values
        if limit is None:
            rows = await self._rows(as_lists, None)
            number = len(rows)
        else:
            rows, number = await self._counted(shape, limit, offset)
        return [one for row in rows for one in row] if as_flag(flat, "flat") else rows, number

    def iterall(self, batch_size: int | None = _BATCH) -> AsyncGenerator[list[Any], None]:
        """The rows of :meth:`all` one after the other, from a cursor on the server.

        Args:
            batch_size: How many rows are fetched at a time; None: a hundred. Where rows come
                quickly, up to 400 are fetched together.

        Returns:
            An asynchronous iterator. It holds a connection, outside of a transaction that of a
            snapshot, until it ends or is closed; a break closes it with the generator. Outside of
            a transaction rows are fetched while those before are worked on, once more than the
            first ones are asked for.

        Raises:
            InvalidInputError: Something in the query is not valid.
            ResourceError: There are more rows than ``max_rows``.
            DatabaseError: What the server reported.
        """
        return self._stream(as_lists, batch_size)

    def iterdict(self, batch_size: int | None = _BATCH) -> AsyncGenerator[Row, None]:
        """The rows of :meth:`dict` one after the other; takes and raises what :meth:`iterall` does.

        Returns:
            An asynchronous iterator.
        """
        return self._stream(as_dicts, batch_size)

    async def page(self, limit: int, *, after: str | None = None, with_total: bool = False) -> Page:
        """Some of the rows, from where the page before ended.

        Rows are in the order asked for, those that are equal in it by their pks, or, of distinct
        rows, by all that is projected. A page is found by its place in the order, not by counting:
        the thousandth takes no longer than the first, and what is made or deleted meanwhile moves
        nothing to another page. The query's own limit and offset are ignored.

        Args:
            limit: How many rows.
            after: The ``next`` of the page before; None: the first page.
            with_total: Whether to count the rows of all pages.

        Returns:
            The rows, and where the next page begins.

        Raises:
            InvalidInputError: ``after`` is not of this query, or something in it is not valid.
            ResourceError: There are more rows on the page than ``max_rows``.
            DatabaseError: What the server reported.
        """
        limit, most = _as_number(limit, "limit"), self._max_rows
        bare = self._shape()
        bare = bare._replace(bounds=(False, False), values=[*bare.values[:-2], None, None])
        guests = [(one.tag, on_fresh_stack(str, one.given)) for one in self._guests]
        end = None if after is None else read_page_end(bare, guests, after)
        asked = Asked("page", None if end is None else end.nulls)
        compiled = self._statement(bare, asked)
        asked_for = 1 + (limit if most is None else min(limit, most))
        values = [*bare.values[:-2], asked_for, None, *(() if end is None else end.keys)]
        records = await fetch(self._session, compiled, values, seconds=self._timeout)
        if most is not None and most < limit and len(records) > most:
            raise too_many(most)
        next_page = None
        if len(records) > limit:
            del records[limit:]
            next_page = write_page_end(bare, guests, records[-1][-compiled.keys :])
        total = await self._count(bare) if as_flag(with_total, "with_total") else None
        return Page(await in_steps(as_lists, records, compiled.fields), next_page, total)

    # ------------------------------------------------------------ inside

    def _append_next(self, keyword: str, options: Mapping[str, Any]) -> QueryBuilder:
        given = {"cls": "", **options} if "entity_type" not in options else options
        return self.append(**{**given, keyword: self._change().last_tag()})

    def _drafted(self) -> Draft:
        if self._draft is None:
            known = self._known
            self._draft = Draft() if known is None else Draft.read(known.dictionary())
        return self._draft

    def _change(self) -> Draft:
        draft = self._drafted()
        self._known = None
        return draft

    @property
    def _query(self) -> QueryDict:
        return self._drafted().query

    def _shape(self) -> Shape:
        if self._known is None:
            self._known = self._shape_of(self._drafted().query)
        return self._known

    def _shape_of(self, query: QueryDict) -> Shape:
        return shape_of(query, max_depth=self._max_depth, max_bytes=self._max_bytes)

    def _statement(self, shape: Shape, asked: Asked = ALL_ROWS) -> Compiled:
        # What was compiled to find mistakes is as a rule what is asked for next.
        ready = self._ready
        if ready is not None and ready[0] is shape and ready[1] is asked and not self._guests:
            return ready[2]
        version = self._session.require_version()
        compiled = statement_of(shape, version, asked=asked, guests=self._guests)
        self._ready = shape, asked, compiled
        return compiled

    async def _count(self, shape: Shape) -> int:
        compiled = self._statement(shape, COUNT)
        rows = await fetch(self._session, compiled, shape.values, seconds=self._timeout)
        number: int = rows[0][0]
        return number

    async def _counted(
        self, shape: Shape, limit: int, offset: int | None
    ) -> tuple[list[list[Any]], int]:
        """The rows of a query with a limit, and how many there would be without it."""
        most = self._max_rows
        asked_for = shape if most is None or limit <= most else _limited(shape, most + 1)
        compiled = self._statement(asked_for, COUNTED)
        records = await fetch(self._session, compiled, asked_for.values, seconds=self._timeout)
        if most is not None and len(records) > most:
            raise too_many(most)
        if compiled.has_number and records:
            number = records[0][-1] - (offset or 0)
        elif len(records) < limit:
            number = len(records)
        else:
            bounds, values = (False, shape.bounds[1]), [*shape.values[:-2], None, offset]
            number = await self._count(shape._replace(bounds=bounds, values=values))
        return await in_steps(as_lists, records, compiled.fields), number

    async def _some(self, number: int) -> list[list[Any]]:
        shape = _limited(self._shape(), number)
        compiled = self._statement(shape)
        rows = await fetch(self._session, compiled, shape.values, seconds=self._timeout)
        return as_lists(rows, compiled.fields)

    async def _rows(
        self,
        make: Callable[[Sequence[asyncpg.Record], Sequence[Field]], list[Any]],
        batch_size: int | None,
    ) -> list[Any]:
        if batch_size is not None:
            async with contextlib.aclosing(self._stream(make, batch_size)) as rows:
                return [row async for row in rows]
        shape, most = self._shape(), self._max_rows
        limit = shape.values[-2]
        if most is not None and (limit is None or limit > most):
            shape = _limited(shape, most + 1)
        compiled = self._statement(shape)
        records = await fetch(self._session, compiled, shape.values, seconds=self._timeout)
        if most is not None and len(records) > most:
            raise too_many(most)
        return await in_steps(make, records, compiled.fields)

    def _stream(
        self,
        make: Callable[[Sequence[asyncpg.Record], Sequence[Field]], list[Any]],
        batch_size: int | None,
    ) -> AsyncGenerator[Any, None]:
        number = _BATCH if batch_size is None else _as_number(batch_size, "batch_size")
        shape = self._shape()
        compiled = self._statement(shape)
        if compiled.counts_ways:
            compiled = self._statement(shape, STREAM)
        return stream(
            self._session,
            compiled,
            shape.values,
            make,
            batch_size=number,
            most=self._max_rows,
            seconds=self._timeout,
        )


def _as_number(value: object, what: str) -> int:
    """A number of rows that the driver can ask for."""
    number = as_count(value, what)
    if number > _MOST_ROWS:
        raise InvalidInputError(f"{what} is {_MOST_ROWS} at most, not {quote(number)}")
    return number


def _limited(shape: Shape, number: int) -> Shape:
    """The same query with another limit."""
    values = [*shape.values]
    values[-2] = number
    return shape._replace(bounds=(True, shape.bounds[1]), values=values)


def _bound(
    given: Term, version: SchemaVersion, table: str, alias: str, first: int
) -> tuple[str, list[object]]:
    """A criterion on a table, in SQL for an alias of it."""
    columns = {name for name, real in columns_of(table, version).items() if real is not None}
    own = Table(table)
    criterion = require_criterion_on(given, own, columns)
    term = on_fresh_stack(criterion.replace_table, own, Table(table, alias=alias))
    return bind_as_spelled(term, spelling_of(version), first=first)
