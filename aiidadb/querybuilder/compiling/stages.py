"""The stages that a query with walks is written in, and what each needs of those before it.

Each walk to ancestors or descendants begins a stage. All stages but the last are common table
expressions. What later stages need of one, such as a projected column, it hands on in columns
``x0``, ``x1``, ….

In general a walk keeps where it started, and its ends are joined back to the rows of the stage
before (``base``). Two special cases, which are common, do without that join:

- If later stages need nothing of those before but the start of the walk, the walk itself has it:
  the stage stands alone.
- If equal rows are one anyway, the walk can carry the needed columns instead of the start. Starts
  that have the same columns, such as all nodes of one group, then lead to the same rows once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiidadb.querybuilder.compiling.sources import Expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiidadb.querybuilder.compiling.ordering import Order
    from aiidadb.querybuilder.compiling.sources import Selected
    from aiidadb.querybuilder.compiling.vertices import Vertex

__all__ = ["Stage", "Stages", "stages_of"]


class Stage(NamedTuple):
    """What is written together.

    Attributes:
        vertices: In the order of the path; a walk leads to the first, but in the first stage.
        exports: What later stages need of this one and those before it, by their names there. It is
            filled as they are written.
        start: Where its walk starts; None in the first stage.
        edge: The alias of its walk.
        stands_alone: Whether it needs nothing of the stages before it but where its walk starts.
        carries: Whether the walk carries what is needed of the stages before, so that it need not
            know where it started.
        with_start: Whether the walk must keep where it started.
    """

    vertices: Sequence[Vertex]
    exports: dict[Expression, str]
    start: Expression | None = None
    edge: str = ""
    stands_alone: bool = False
    carries: bool = False
    with_start: bool = True

    @property
    def each_way(self) -> bool:
        """Whether each way of its walk is a row."""
        return self.vertices[0].each_way


class Stages:
    """All stages of a query.

    Args:
        stages: In the order in which they follow each other.

    Attributes:
        last: The number of the last stage.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages
        self.last = len(stages) - 1

    def __getitem__(self, number: int) -> Stage:
        """The stage of a number."""
        return self._stages[number]

    def at_end(self, expression: Expression) -> str:
        """SQL for an expression in the last stage."""
        last = self.last
        return expression.sql if expression.stage == last else self.at(expression, last)

    def at(self, expression: Expression, number: int) -> str:
        """SQL for an expression in a stage; if it is of one before, that hands it on."""
        if expression.stage == number:
            return expression.sql
        stage = self._stages[number]
        if stage.stands_alone and expression == stage.start:
            return f"{stage.edge}.start_id"
        is_with_ways = stage.carries or stage.vertices[0].has_counted_ways
        return f"{stage.edge if is_with_ways else 'base'}.{self._handed_on(expression, number)}"

    def start_of(self, number: int) -> str:
        """SQL for where the walk of a stage starts, in the rows of the stage before."""
        start = self._stages[number].start
        assert start is not None
        return f"base.{self._handed_on(start, number)}"

    def _handed_on(self, expression: Expression, number: int) -> str:
        """The column in which a stage gets an expression from the one before."""
        exports = self._stages[number - 1].exports
        return exports.setdefault(expression, f"x{len(exports)}")


def stages_of(
    vertices: Sequence[Sequence[Vertex]],
    selected: Sequence[Selected],
    orders: Sequence[Order],
    *,
    is_set: bool,
) -> Stages:
    """Find out which stages need nothing of those before them but where their walk starts.

    Args:
        vertices: Of each stage.
        selected: The columns of the rows, which the last stage needs.
        orders: What rows are ordered by, which it needs too.
        is_set: Whether equal rows are one.
    """
    stages = [Stage(vertices[0], {})]
    if len(vertices) == 1:
        return Stages(stages)
    needed = {*(one.value for one in selected), *(one.value for one in orders)}
    heavy = {one.value for one in selected if one.kind == "jsonb"}
    starts = [_start_of_walk(one) for one in vertices]
    for number, start in enumerate(starts[1:], start=1):
        first = vertices[number][0]
        assert first.edge is not None
        later = {one for one in starts[number + 1 :] if one is not None}
        of_before = {one for one in needed | later if one.stage < number}
        # Without `distinct`, each row of the stage before must come once for each way of the walk.
        # A walk that starts once from each node has that only if each row has a start of its own.
        is_one_each = number == 1 and len(vertices[0]) == 1
        stands_alone = of_before <= {start} and (is_set or is_one_each)
        # Carrying pays if many starts share what is carried, as the nodes of one group do. JSON
        # would be copied to each node of the walk, and the start itself is shared by no other.
        is_light = of_before.isdisjoint(heavy) and start not in of_before
        carries = is_set and is_light and not (stands_alone or first.each_way)
        is_bare = stands_alone and not of_before
        with_start = first.each_way or not (is_bare or carries)
        stages.append(
            Stage(vertices[number], {}, start, first.edge.alias, stands_alone, carries, with_start)
        )
    return Stages(stages)


def _start_of_walk(vertices: Sequence[Vertex]) -> Expression | None:
    near = vertices[0].joined
    return None if near is None else Expression(f"{near.source.alias}.id", near.source.stage)
