"""What stands behind ``where``: the filters of vertices and edges, and criteria that are added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import quote
from aiidadb.querybuilder.compiling.filters import FilterWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiidadb.querybuilder.compiling.compiled import Guest
    from aiidadb.querybuilder.compiling.parameters import Parameters
    from aiidadb.querybuilder.compiling.sources import Source
    from aiidadb.querybuilder.compiling.vertices import Vertex
    from aiidadb.querybuilder.filter_tree import Tree
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["Conditions", "require_tables"]


def require_tables(guests: Sequence[Guest], sources: Mapping[str, Source]) -> None:
    """Refuse a criterion on what has no table.

    Raises:
        InvalidInputError: It is on a walk, or on what is not there.
    """
    for guest in guests:
        source = sources.get(guest.tag)
        if source is None or not source.entity.table:
            raise InvalidInputError(
                f"{quote(guest.tag)} does not stand for a table, which a criterion of pypika "
                "is on: give the filter as a dictionary, or on another tag"
            )


class Conditions:
    """The conditions of one statement.

    Args:
        filters: By tag.
        guests: Further criteria.
        parameters: Those of the statement.
        version: Of the database.
        joins_all: Whether several vertices are joined, and all rows of that are wanted.
    """

    def __init__(
        self,
        filters: Mapping[str, Tree],
        guests: Sequence[Guest],
        parameters: Parameters,
        version: SchemaVersion,
        *,
        joins_all: bool,
    ) -> None:
        self._filters = filters
        self._guests = guests
        self._parameters = parameters
        self._writer = FilterWriter(parameters, version, joins_all=joins_all)

    def of(self, vertex: Vertex) -> list[str]:
        """Those of a vertex and of the edge that leads to it.

        Raises:
            InvalidInputError: A column or an operator is not there, or cannot have such a value.
            InvalidTypeError: An operator cannot have a value of this type.
        """
        found = self._on(vertex.given["tag"], vertex.source)
        if vertex.edge is not None:
            assert vertex.given["edge_tag"] is not None
            found += self._on(vertex.given["edge_tag"], vertex.edge)
        return found

    def _on(self, tag: str, source: Source) -> list[str]:
        found = self._writer.conditions(self._filters.get(tag, ()), source)
        for guest in self._guests:
            if guest.tag == tag:
                text, values = guest.bind(source.entity.table, source.alias, self._parameters.next)
                self._parameters.guests(values)
                found.append(f"({text})")
        return found
