"""What rows are ordered by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import quote
from aiidadb.querybuilder.compiling.fields import source_of_tag, value_of
from aiidadb.querybuilder.compiling.sources import Expression, Selected
from aiidadb.querybuilder.entities import WALK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aiidadb.querybuilder.compiling.parameters import Parameters
    from aiidadb.querybuilder.compiling.projection import Projection
    from aiidadb.querybuilder.compiling.sources import Source
    from aiidadb.querybuilder.compiling.vertices import Vertex
    from aiidadb.querybuilder.dictionary import QueryDict
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["Order", "ordered", "orders_of", "with_ties_broken"]

_NULLABLE: Final = frozenset({"process_type", "dbcomputer_id"})


class Order(NamedTuple):
    """What rows are ordered by.

    Attributes:
        value: The expression.
        kind: Its type, for the key of a page.
        is_descending: Whether the highest comes first.
        is_never_null: Whether it surely is a value.
    """

    value: Expression
    kind: str
    is_descending: bool
    is_never_null: bool


def orders_of(
    query: QueryDict,
    sources: Mapping[str, Source],
    projection: Projection,
    version: SchemaVersion,
    parameters: Parameters,
) -> list[Order]:
    """The order that a query asks for.

    Args:
        query: The query.
        sources: By tag, of vertices and edges.
        projection: What it projects: distinct rows can be ordered by nothing else.
        version: Of the database.
        parameters: Those of the statement.

    Raises:
        InvalidInputError: There is no such field or cast, a cast is missing, or distinct rows are
            to be ordered by what is not projected.
    """
    if not query["order_by"]:
        return []
    # Databases that were made by the SQLAlchemy backend have nulls in many columns.
    may_be_null = query["distinct"] or _has_outer_join(query) or version.line == "sqlalchemy"
    projected = {one.value for one in projection.selected if not one.function}
    orders = []
    for tag, name, options in _fields(query):
        source = source_of_tag(tag, sources)
        cast = options.get("cast")
        if cast is None and "." in name:
            raise InvalidInputError(f"to order by {quote(name)}, say how: give a cast")
        sql, kind = value_of(source, name, cast, parameters)
        value = Expression(sql, source.stage)
        if query["distinct"]:
            value, kind, _ = Selected.of(sql, kind, source.stage)
            if value not in projected:
                raise InvalidInputError(
                    f"distinct rows can be ordered by what is projected: project {quote(name)} of "
                    f"{quote(tag)} in the same way"
                )
        column = source.entity.column(name.partition(".")[0])
        may_be = may_be_null or column.kind == "JSON" or column.name in _NULLABLE
        orders.append(Order(value, kind, options.get("order") == "desc", not may_be))
    return orders


def _fields(query: QueryDict) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    for spec in query["order_by"]:
        for tag, fields in spec.items():
            for one in fields:
                for name, options in one.items():
                    yield tag, name, options


def _has_outer_join(query: QueryDict) -> bool:
    return any(vertex["outerjoin"] for vertex in query["path"])


def with_ties_broken(
    orders: Sequence[Order],
    query: QueryDict,
    vertices: Iterable[Vertex],
    projection: Projection,
) -> list[Order]:
    """An order in which no two rows are equal.

    Args:
        orders: The order asked for.
        query: The query.
        vertices: All of it, whose primary keys tell rows.
        projection: What it projects, which tells distinct rows.
    """
    descends = bool(orders) and orders[-1].is_descending
    if query["distinct"]:
        further = {value: (kind, False) for value, kind, _ in projection.selected}
    else:
        is_whole = not _has_outer_join(query)
        further = {
            value: (kind, is_whole and kind == "bigint") for value, kind in _primary_keys(vertices)
        }
    known = {one.value for one in orders}
    return [
        *orders,
        *(
            Order(value, kind, descends, is_never_null)
            for value, (kind, is_never_null) in further.items()
            if value not in known
        ),
    ]


def _primary_keys(vertices: Iterable[Vertex]) -> Iterator[tuple[Expression, str]]:
    """Those of vertices and edges, with their types; a way has its links, which come last."""
    ways = []
    for vertex in vertices:
        source, edge = vertex.source, vertex.edge
        yield Expression(f"{source.alias}.id", source.stage), "bigint"
        if edge is None:
            continue
        if edge.entity is WALK:
            ways.append(Expression(f"{edge.alias}.links", edge.stage))
        else:
            yield Expression(f"{edge.alias}.id", edge.stage), "bigint"
    for way in ways:
        yield way, "int[]"


def ordered(orders: Sequence[Order], sql: Sequence[str]) -> str:
    """The ``order by`` of rows, with SQL for each value; empty where there is none."""
    if not orders:
        return ""
    terms = ", ".join(
        f"{cell} desc" if one.is_descending else cell for one, cell in zip(orders, sql, strict=True)
    )
    return f"\norder by {terms}"
