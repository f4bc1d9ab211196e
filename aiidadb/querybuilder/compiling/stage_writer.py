"""The text of stages: the last one, and the common table expressions in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.querybuilder.compiling.ends import count_of_ways
from aiidadb.querybuilder.compiling.joins import tables_of
from aiidadb.querybuilder.compiling.recursion import WalkNames, write_walk
from aiidadb.querybuilder.relations import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiidadb.querybuilder.compiling.conditions import Conditions
    from aiidadb.querybuilder.compiling.stages import Stages
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["StageWriter", "indented", "where"]


class StageWriter:
    """Writes the stages of one statement, the last one first.

    Args:
        stages: What each needs of those before it.
        conditions: The conditions of vertices and edges.
        walk_of: Gives the walk of a stage of which each way is a row.
        version: Of the database.
        is_distinct: Whether equal rows are one.
    """

    def __init__(
        self,
        stages: Stages,
        conditions: Conditions,
        walk_of: Callable[[int, str], WalkNames],
        version: SchemaVersion,
        *,
        is_distinct: bool,
    ) -> None:
        self._stages = stages
        self._conditions = conditions
        self._walk_of = walk_of
        self._version = version
        self._select = "select distinct" if is_distinct else "select"

    def last(self, columns: Sequence[str], further: Sequence[str] = ()) -> str:
        """The last stage.

        Args:
            columns: What is selected.
            further: Conditions on top of those of vertices and edges.
        """
        select = f"{self._select} {', '.join(columns)}" if columns else self._select
        return self._stage(self._stages.last, select, further)

    def with_others(self, last: str, further: Sequence[str] = ()) -> str:
        """The statement: the last stage, with those before it and their walks in front of it.

        Args:
            last: What stands at the end.
            further: Common table expressions in front of that.
        """
        expressions = [*further]
        for number in range(self._stages.last, 0, -1):
            expressions = [*self._before(number), *expressions]
        return f"with recursive {', '.join(expressions)}\n{last}" if expressions else last

    def _before(self, number: int) -> list[str]:
        """The common table expressions that a stage needs of the one before."""
        stage, before = self._stages[number], self._stages[number - 1]
        relation = stage.vertices[0].relation
        assert isinstance(relation, Walk)
        assert stage.start is not None
        names = self._names(number)
        bases: list[str] = []
        if stage.carries:
            needed = (self._stages.at(one, number - 1) for one in (stage.start, *before.exports))
            starts = self._stage(number - 1, f"select distinct {', '.join(needed)}")
        elif stage.stands_alone:
            start = self._stages.at(stage.start, number - 1)
            is_unique = number == 1 and len(before.vertices) == 1
            select = f"select {start}" if is_unique else f"select distinct {start}"
            starts = self._stage(number - 1, select)
        else:
            start = self._stages.start_of(number)
            starts = f"select distinct {start}\nfrom base{number - 1} as base"
            columns = ", ".join(
                f"{self._stages.at(one, number - 1)} as {name}"
                for one, name in before.exports.items()
            )
            base = indented(self._stage(number - 1, f"select {columns}"))
            bases.append(f"base{number - 1} as materialized (\n{base}\n)")
        columns = ", ".join(("id", *names.carried))
        starts = f"{names.starts} ({columns}) as materialized (\n{indented(starts)}\n)"
        walks = write_walk(relation, names)
        vertex = stage.vertices[0]
        if vertex.has_counted_ways:
            walks = (*walks, count_of_ways(number, vertex.source.entity.table))
        return [*bases, starts, *walks]

    def _names(self, number: int) -> WalkNames:
        stage = self._stages[number]
        vertex = stage.vertices[0]
        if vertex.each_way:
            assert vertex.given["edge_tag"] is not None
            return self._walk_of(number, vertex.given["edge_tag"])
        carried = tuple(self._stages[number - 1].exports.values()) if stage.carries else ()
        return WalkNames(number, with_start=stage.with_start, carried=carried)

    def _stage(self, number: int, select: str, further: Sequence[str] = ()) -> str:
        """One stage: what is selected, from which tables, and under which conditions."""
        tables: list[str] = []
        conditions: list[str] = []
        for vertex in self._stages[number].vertices:
            tables += tables_of(vertex, self._stages, self._version)
            conditions += self._conditions.of(vertex)
        return f"{select}\nfrom " + "\n".join(tables) + where([*conditions, *further])


def where(conditions: Sequence[str]) -> str:
    """Conditions, all of which must hold, with the keyword; empty where there are none."""
    return "\nwhere " + "\n    and ".join(conditions) if conditions else ""


def indented(text: str) -> str:
    """A text inside another one."""
    return "    " + text.replace("\n", "\n    ")
