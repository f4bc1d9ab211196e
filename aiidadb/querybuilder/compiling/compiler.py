"""Compiles a query to SQL text and parameters, without asking a database.

Nothing of the caller's becomes part of the text: values and keys of JSON are parameters. Names of
columns, operators and casts are looked up in fixed tables, and the SQL is taken from there.

A *vertex* is one entity of the query's path, an *edge* what joins it to an earlier one (a link, a
membership of a group). A *walk* is an edge to ancestors or descendants over any number of links. A
walk needs a recursive common table expression, so each divides the query into one more *stage*:
what is joined before it, and what is joined to where it leads.

A statement is made in this order, by the modules beside this one:

1. ``vertices`` finds the vertices and edges of the path, each of which is a source of columns
   (``sources``), and the stages that they are in; ``turned`` lets a walk begin at its other end if
   far fewer nodes are asked for there, and ``ends`` has the nodes that ways lead to read together
   if the ways are many.
2. ``projection`` and ``ordering`` find the columns of the rows and what rows are ordered by; both
   use ``fields`` to turn names into SQL.
3. ``stages`` finds out which of these expressions each stage must hand on to later ones.
4. ``stage_writer`` writes each stage: its ``from`` (``joins``) and its ``where`` (``conditions``,
   ``filters``). The last stage is the statement itself. The others stand in front of it as common
   table expressions, with their walks (``walks``, ``depth``, ``recursion``).
5. For a page, ``pages`` adds where it begins: behind the last row of the page before. ``apart``
   finds all distinct rows before some of them are given.
6. For rows with their number, ``counted`` writes both as one statement.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import quote
from aiidadb.querybuilder.compiling.apart import write_apart
from aiidadb.querybuilder.compiling.compiled import ALL_ROWS, Asked, Compiled
from aiidadb.querybuilder.compiling.conditions import Conditions, require_tables
from aiidadb.querybuilder.compiling.counted import (
    is_counted_with_rows,
    looks_into_json,
    write_counted,
)
from aiidadb.querybuilder.compiling.ends import needs_all_ways, with_counted_ways
from aiidadb.querybuilder.compiling.ordering import ordered, orders_of, with_ties_broken
from aiidadb.querybuilder.compiling.pages import behind, write_page
from aiidadb.querybuilder.compiling.parameters import Parameters
from aiidadb.querybuilder.compiling.projection import projection_of
from aiidadb.querybuilder.compiling.stage_writer import StageWriter, indented
from aiidadb.querybuilder.compiling.stages import stages_of
from aiidadb.querybuilder.compiling.turned import from_narrow_end
from aiidadb.querybuilder.compiling.vertices import vertices_of
from aiidadb.querybuilder.compiling.walks import ways_asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiidadb.querybuilder.compiling.compiled import Field, Guest
    from aiidadb.querybuilder.compiling.ordering import Order
    from aiidadb.querybuilder.compiling.sources import Selected
    from aiidadb.querybuilder.compiling.stages import Stages
    from aiidadb.querybuilder.compiling.vertices import Vertices
    from aiidadb.querybuilder.dictionary import QueryDict
    from aiidadb.querybuilder.filter_tree import Tree
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["compile_query"]


def compile_query(
    query: QueryDict,
    filters: Iterable[tuple[str, Tree]],
    number: int,
    version: SchemaVersion,
    *,
    asked: Asked = ALL_ROWS,
    bounds: tuple[bool, bool] = (False, False),
    guests: Sequence[Guest] = (),
) -> Compiled:
    """Compile a query.

    Args:
        query: In AiiDA 2.x's form, as a draft gives it; its filters are not looked at.
        filters: By tag, as its shape has them.
        number: How many values the shape has, limit and offset included.
        version: Of the database.
        asked: What is asked of it.
        bounds: Whether there is a limit, and an offset.
        guests: Further criteria.

    Raises:
        InvalidInputError: Something in it is not there, or cannot be asked for in this way.
        InvalidTypeError: Something in it is compared with, or joined to, what it cannot be.
    """
    if not query["path"]:
        raise InvalidInputError("the query is empty: append something first")
    by_tag = dict(filters)
    vertices = vertices_of(query, by_tag, version)
    _require_tags(by_tag, query)
    require_tables(guests, vertices.sources)
    if not guests:
        vertices = from_narrow_end(vertices, query, by_tag, version)
    if len(vertices.stages) > 1 and needs_all_ways(asked, bounds):
        vertices = with_counted_ways(vertices, by_tag, version)
    rows = _rows(query, by_tag, vertices, number, version, asked, bounds)
    stages = stages_of(vertices.stages, rows.selected, rows.orders, is_set=rows.is_set)
    parameters = rows.parameters
    has_number = asked.what == "counted" and is_counted_with_rows(
        vertices, by_tag, is_set=rows.is_set, has_functions=rows.has_functions
    )
    # Next to the number of all rows, those that are given are cut from rows that are all made.
    is_cut = asked.what == "page" or (any(bounds) and not has_number)
    joins_all = len(vertices.by_tag) > 1 and not is_cut
    writer = StageWriter(
        stages,
        Conditions(by_tag, guests, parameters, version, joins_all=joins_all),
        partial(ways_asked, query=query, filters=by_tag, asked=asked, parameters=parameters),
        version,
        is_distinct=query["distinct"],
    )
    further: list[str] = []
    if has_number:
        limits = _bounds(number, parameters, has_limit=bounds[0], has_offset=bounds[1])
        further, text = write_counted(
            rows.selected, rows.orders, stages, writer, vertices, limits, is_set=rows.is_set
        )
    elif asked.what == "page":
        after = partial(behind, nulls=asked.after, number=number, parameters=parameters)
        text = write_page(
            rows.selected, rows.orders, stages, writer, after, is_distinct=query["distinct"]
        )
        text += _bounds(number, parameters, has_limit=True, has_offset=False)
    elif asked.what == "count" and not (rows.selected or any(bounds)):
        text = writer.last(["count(*)"])
    else:
        if rows.is_set and stages.last and any(bounds):
            # All that walks lead to has to be found before the first distinct row is known. Asked
            # for a few rows, the planner may still choose a plan that is quick for the first ones,
            # such as to look at all nodes in the order of their pks.
            every, text = write_apart(rows.selected, rows.orders, stages, writer)
            further = [every]
        else:
            text = _all_rows(rows, stages, writer)
        text += _bounds(number, parameters, has_limit=bounds[0], has_offset=bounds[1])
        if asked.what == "count":
            text = f"select count(*)\nfrom (\n{indented(text)}\n) as asked"
    return Compiled(
        text=writer.with_others(text, further),
        slots=tuple(parameters.slots),
        subjects=tuple(parameters.subjects),
        constants=tuple(parameters.constants),
        fields=tuple(rows.fields),
        keys=len(rows.orders) if asked.what == "page" else 0,
        is_for_values=_is_for_values(vertices, by_tag, is_cut=is_cut),
        has_number=has_number,
        counts_ways=any(one.has_counted_ways for one in vertices.by_tag.values()),
    )


class _Rows(NamedTuple):
    """What is asked for of each row.

    Attributes:
        fields: How rows are cut.
        selected: Their columns; none where only their number matters.
        orders: What they are ordered by.
        parameters: Those of the statement, as yet with what is in the columns.
        is_set: Whether equal rows are one.
        has_functions: Whether functions make one row of all.
    """

    fields: Sequence[Field]
    selected: Sequence[Selected]
    orders: Sequence[Order]
    parameters: Parameters
    is_set: bool
    has_functions: bool = False


def _is_for_values(vertices: Vertices, filters: Mapping[str, Tree], *, is_cut: bool) -> bool:
    """Whether a plan for all values would be a bad one.

    Where only some rows are given, by a limit or an offset, a plan for all values is made as if
    these were a tenth of the rows. Next to a filter on JSON, of which the server has no statistics,
    such a plan seems cheaper than it is, and reads the whole table in the order asked for.
    """
    if vertices.have_one_row(filters):
        return False
    return len(vertices.by_tag) > 1 or (
        is_cut
        and any(
            looks_into_json(filters.get(tag, ()), source)
            for tag, source in vertices.sources.items()
        )
    )


def _require_tags(filters: Iterable[str], query: QueryDict) -> None:
    known = query["filters"]
    for tag in filters:
        if tag not in known:
            there = ", ".join(map(quote, known))
            raise InvalidInputError(f"there is no tag {quote(tag)}: there are {there}")


def _rows(
    query: QueryDict,
    filters: Mapping[str, Tree],
    vertices: Vertices,
    number: int,
    version: SchemaVersion,
    asked: Asked,
    bounds: tuple[bool, bool],
) -> _Rows:
    """What is asked for of each row, and what of it matters."""
    parameters = Parameters(number + len(asked.after or ()))
    projection = projection_of(query, filters, vertices.sources, parameters)
    orders = orders_of(query, vertices.sources, projection, version, parameters)
    if asked.what == "page":
        if projection.has_functions:
            raise InvalidInputError("max, min and count return one row, which has no pages")
        orders = with_ties_broken(orders, query, vertices.by_tag.values(), projection)
    elif asked.what == "count":
        if not any(bounds):
            orders = []
        if not (query["distinct"] or projection.has_functions):
            # Only the number of rows matters, so the columns are left out. The parameters in them
            # are too, as no SQL would use them.
            parameters = Parameters(number)
            if orders:
                orders = orders_of(query, vertices.sources, projection, version, parameters)
            return _Rows(projection.fields, (), orders, parameters, is_set=False)
    has_functions = projection.has_functions
    is_set = query["distinct"] and not has_functions
    return _Rows(projection.fields, projection.selected, orders, parameters, is_set, has_functions)


def _all_rows(rows: _Rows, stages: Stages, writer: StageWriter) -> str:
    """The rows in their order."""
    columns = [one.called(stages.at_end(one.value)) for one in rows.selected]
    cells = [stages.at_end(one.value) for one in rows.orders]
    return f"{writer.last(columns)}{ordered(rows.orders, cells)}"


def _bounds(number: int, parameters: Parameters, *, has_limit: bool, has_offset: bool) -> str:
    """Limit and offset, whose values are the last two of a query."""
    text = ""
    if has_limit:
        text += f"\nlimit {parameters.value(number - 2, 'bigint')}"
    if has_offset:
        text += f"\noffset {parameters.value(number - 1, 'bigint')}"
    return text
