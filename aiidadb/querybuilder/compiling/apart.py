"""Distinct rows as a common table expression: all of them are found before any is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.querybuilder.compiling.ordering import ordered
from aiidadb.querybuilder.compiling.stage_writer import indented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiidadb.querybuilder.compiling.ordering import Order
    from aiidadb.querybuilder.compiling.sources import Selected
    from aiidadb.querybuilder.compiling.stage_writer import StageWriter
    from aiidadb.querybuilder.compiling.stages import Stages

__all__ = ["expression", "write_apart"]


def write_apart(
    selected: Sequence[Selected],
    orders: Sequence[Order],
    stages: Stages,
    writer: StageWriter,
    further: str = "",
) -> tuple[str, str]:
    """The common table expression of distinct rows, and a statement that gives them in order.

    Args:
        selected: The columns of a row.
        orders: What rows are ordered by, which is selected too.
        stages: Of the query.
        writer: What writes them.
        further: SQL for what follows the columns of each row.
    """
    names = [f"c{place}" for place in range(len(selected))]
    values = [one.value for one in selected]
    columns = [one.called(stages.at_end(one.value)) for one in selected]
    cells = [f"asked.{names[values.index(one.value)]}" for one in orders]
    every = expression(f"asked ({', '.join(names)})", writer.last(columns))
    return every, f"select asked.*{further}\nfrom asked{ordered(orders, cells)}"


def expression(name: str, text: str) -> str:
    """A common table expression that is made once, as a whole."""
    return f"{name} as materialized (\n{indented(text)}\n)"
