"""A page of rows: those behind the last one of the page before, with what they are ordered by.

A page does not begin at an offset, for which the server would have to read all rows before it. It
begins behind the last row of the page before, whose values of the order are parameters, so that an
index can lead to its first row. For this no two rows may be equal in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.exceptions import InvalidInputError
from aiidadb.querybuilder.compiling.ordering import ordered
from aiidadb.querybuilder.compiling.stage_writer import indented, where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiidadb.querybuilder.compiling.ordering import Order
    from aiidadb.querybuilder.compiling.parameters import Parameters
    from aiidadb.querybuilder.compiling.sources import Selected
    from aiidadb.querybuilder.compiling.stage_writer import StageWriter
    from aiidadb.querybuilder.compiling.stages import Stages

__all__ = ["behind", "write_page"]


def write_page(
    selected: Sequence[Selected],
    orders: Sequence[Order],
    stages: Stages,
    writer: StageWriter,
    after: Callable[[Sequence[Order], Sequence[str]], list[str]],
    *,
    is_distinct: bool,
) -> str:
    """The rows behind a place in an order, and the keys of each.

    Args:
        selected: The columns of a row.
        orders: What rows are ordered by, so that no two are equal.
        stages: Of the query.
        writer: What writes them.
        after: Gives the conditions on the place, for an order and SQL of its values.
        is_distinct: Whether equal rows are one.
    """
    if not is_distinct:
        sql = [stages.at_end(one.value) for one in orders]
        columns = [stages.at_end(one.value) for one in selected]
        body = writer.last([*columns, *map(_key, sql)], after(orders, sql))
    else:
        # Rows are compared by all that is projected, so the distinct ones are found first, in a
        # query of their own. The order, the keys and the place where the page begins are around it.
        inner = indented(writer.last([stages.at_end(one.value) for one in selected]))
        columns = [f"c{place}" for place in range(len(selected))]
        values = [one.value for one in selected]
        sql = [f"page.{columns[values.index(one.value)]}" for one in orders]
        select = f"select page.*, {', '.join(map(_key, sql))}"
        body = f"{select}\nfrom (\n{inner}\n) as page ({', '.join(columns)})"
        body += where(after(orders, sql))
    return f"{body}{ordered(orders, sql)}"


def _key(sql: str) -> str:
    return f"({sql})::text"


def behind(
    orders: Sequence[Order],
    sql: Sequence[str],
    *,
    nulls: Sequence[bool] | None,
    number: int,
    parameters: Parameters,
) -> list[str]:
    """The conditions for what comes behind the last row of the page before.

    Args:
        orders: What rows are ordered by, so that no two are equal.
        sql: SQL for each of their values.
        nulls: Which of that row's values are null; None: there is no page before.
        number: The place of the first of them among the values of the query.
        parameters: Those of the statement.

    Raises:
        InvalidInputError: The row has not as many values.
    """
    if nulls is None:
        return []
    if len(nulls) != len(orders):
        raise InvalidInputError("after is from a page of another query: begin again")
    values = [
        "" if nulls[place] else parameters.value(number + place, f"text::{one.kind}")
        for place, one in enumerate(orders)
    ]
    directions = {one.is_descending for one in orders}
    is_never_null = not any(nulls) and all(one.is_never_null for one in orders)
    if len(directions) == 1 and is_never_null:
        # Without nulls, and with one direction for all columns, one comparison of rows does it. For
        # it the server can start in the middle of an index on the first column.
        sign = "<" if True in directions else ">"
        return [f"({', '.join(sql)}) {sign} ({', '.join(values)})"]
    found = "false"
    for one, cell, value, is_null in reversed(list(zip(orders, sql, values, nulls, strict=True))):
        further, same = _beyond(one, cell, value, is_null=is_null)
        found = f"({further} or ({same} and {found}))"
    first = orders[0]
    if nulls[0] or not (first.is_descending or first.is_never_null):
        return [found]
    # The second condition follows from the first. It is there for the planner, which cannot see
    # inside an `or` that a range of an index is enough.
    return [found, f"{sql[0]} {'<=' if first.is_descending else '>='} {values[0]}"]


def _beyond(order: Order, cell: str, value: str, *, is_null: bool) -> tuple[str, str]:
    """The conditions for what comes behind a value in an order, and for what is equal to it.

    Nulls come last, or first where the highest comes first.
    """
    if is_null:
        return f"{cell} is not null" if order.is_descending else "false", f"{cell} is null"
    if order.is_descending:
        further = f"{cell} < {value}"
    elif order.is_never_null:
        further = f"{cell} > {value}"
    else:
        further = f"({cell} > {value} or {cell} is null)"
    return further, f"{cell} = {value}"
