"""Rows together with the number of all rows: what takes long is done once for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.querybuilder.compiling.apart import expression, write_apart
from aiidadb.querybuilder.compiling.ordering import ordered
from aiidadb.querybuilder.filter_tree import COMBINATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiidadb.querybuilder.compiling.ordering import Order
    from aiidadb.querybuilder.compiling.sources import Selected, Source
    from aiidadb.querybuilder.compiling.stage_writer import StageWriter
    from aiidadb.querybuilder.compiling.stages import Stages
    from aiidadb.querybuilder.compiling.vertices import Vertices
    from aiidadb.querybuilder.filter_tree import Tree

__all__ = ["is_counted_with_rows", "looks_into_json", "write_counted"]

_NUMBER = "(select count(*) from asked)"


def is_counted_with_rows(
    vertices: Vertices, filters: Mapping[str, Tree], *, is_set: bool, has_functions: bool
) -> bool:
    """Whether rows and their number are best asked for in one statement.

    All rows have to be made to know which are distinct, and all values in JSON to be read to know
    which rows are asked for. Else an index often gives either: the number without reading a row,
    and the first rows without reading the others.

    Args:
        vertices: Of the query.
        filters: Its filters by tag.
        is_set: Whether equal rows are one.
        has_functions: Whether functions make one row of all.
    """
    if has_functions:
        return False
    if is_set:
        return True
    return len(vertices.stages) == 1 and any(
        looks_into_json(filters.get(tag, ()), source) for tag, source in vertices.sources.items()
    )


def looks_into_json(tree: Tree, source: Source) -> bool:
    """Whether some filter of a vertex or an edge is on a value in JSON."""
    return any(
        any(looks_into_json(one, source) for one in parts)
        if key in COMBINATIONS
        else source.entity.column(key.partition(".")[0]).kind == "JSON"
        for key, parts in tree
    )


def write_counted(
    selected: Sequence[Selected],
    orders: Sequence[Order],
    stages: Stages,
    writer: StageWriter,
    vertices: Vertices,
    bounds: str,
    *,
    is_set: bool,
) -> tuple[list[str], str]:
    """The common table expressions, and the statement behind them; the number is the last column.

    Args:
        selected: The columns of a row.
        orders: What rows are ordered by.
        stages: Of the query.
        writer: What writes them.
        vertices: Of the query.
        bounds: Its limit and offset.
        is_set: Whether equal rows are one.
    """
    if is_set:
        every, text = write_apart(selected, orders, stages, writer, f", {_NUMBER}")
        return [every], text + bounds
    columns = [one.called(stages.at_end(one.value)) for one in selected]
    # Pks are little to keep. What is projected is read of the rows that are given, and no others.
    tables = _tables(vertices)
    pks = [f"{alias}.id as {alias}" for alias in tables]
    keys = [f"{stages.at_end(one.value)} as o{place}" for place, one in enumerate(orders)]
    every = expression("asked", writer.last([*pks, *keys]))
    names = [f"o{place}" for place in range(len(orders))]
    first = expression("page", f"select *\nfrom asked{ordered(orders, names)}{bounds}")
    joins = "".join(
        f"\nleft join {table} as {alias} on {alias}.id = page.{alias}"
        for alias, table in tables.items()
    )
    cells = [f"page.{name}" for name in names]
    text = f"select {', '.join([*columns, _NUMBER])}\nfrom page{joins}{ordered(orders, cells)}"
    return [every, first], text


def _tables(vertices: Vertices) -> dict[str, str]:
    """By alias, the tables of vertices and edges."""
    return {one.alias: one.entity.table for one in vertices.sources.values()}
