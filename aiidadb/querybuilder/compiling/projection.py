"""What is projected: the columns of the rows, and how rows are cut into fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import did_you_mean, quote
from aiidadb.querybuilder.compiling.compiled import Field
from aiidadb.querybuilder.compiling.fields import source_of_tag, value_of
from aiidadb.querybuilder.compiling.sources import Expression, Selected
from aiidadb.querybuilder.compiling.walks import uses_path
from aiidadb.querybuilder.entities import WALK
from aiidadb.querybuilder.records import RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aiidadb.querybuilder.compiling.parameters import Parameters
    from aiidadb.querybuilder.compiling.sources import Source
    from aiidadb.querybuilder.dictionary import QueryDict
    from aiidadb.querybuilder.filter_tree import Tree

__all__ = ["Projection", "projection_of"]

_FUNCTIONS: Final = ("max", "min", "count")


class Projection(NamedTuple):
    """What is projected.

    Attributes:
        fields: How a row is cut.
        selected: The columns of a row, in the same order.
        has_functions: Whether the columns are functions of all rows, which make one row of them.
    """

    fields: Sequence[Field]
    selected: Sequence[Selected]
    has_functions: bool


def projection_of(
    query: QueryDict,
    filters: Mapping[str, Tree],
    sources: Mapping[str, Source],
    parameters: Parameters,
) -> Projection:
    """What a query projects; the record of the last vertex where it does not say.

    Args:
        query: The query.
        filters: Its filters by tag.
        sources: By tag, of vertices and edges.
        parameters: Those of the statement.

    Raises:
        InvalidInputError: There is no such field, cast or function, or a field comes twice.
    """
    fields: list[Field] = []
    selected: list[Selected] = []
    known: set[tuple[str, str]] = set()
    renamed = query["project_map"]
    for tag, name, options in _asked(query, filters, sources):
        source = source_of_tag(tag, sources)
        if name == "*":
            width, make = len(source.record), _maker_of_record(source, options)
            selected += source.record
        else:
            width, make = 1, None
            selected.append(_column(source, name, options, parameters))
        key = "metadata" if name == "_metadata" else name
        if tag in renamed:
            key = renamed[tag].get(key, key)
        fields.append(Field(tag, key, width, make))
        known.add((tag, key))
        if len(known) < len(fields):
            raise InvalidInputError(f"{quote(name)} of {quote(tag)} is projected more than once")
    functions = [one for one in selected if one.function]
    if functions and len(functions) < len(selected):
        raise InvalidInputError(
            "there are no groups: next to max, min or count no plain field can be projected"
        )
    return Projection(fields, selected, bool(functions))


def _asked(
    query: QueryDict, filters: Mapping[str, Tree], sources: Mapping[str, Source]
) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Tags and names of what is projected, with what is said of it: vertices come before edges."""
    path, project = query["path"], query["project"]
    if not any(project.values()):
        yield path[-1]["tag"], "*", {}
        return
    tags = [vertex["tag"] for vertex in path]
    tags += [vertex["edge_tag"] for vertex in path[1:] if vertex["edge_tag"] is not None]
    for tag in tags:
        for one in project.get(tag, ()):
            for name, options in one.items():
                if name != "**":
                    yield tag, name, options
                    continue
                source = source_of_tag(tag, sources)
                yield from ((tag, column, options) for column in source.entity.columns)
                if source.entity is WALK and uses_path(tag, query, filters):
                    yield tag, "path", options


def _column(
    source: Source, name: str, options: Mapping[str, str], parameters: Parameters
) -> Selected:
    if not options and (plain := source.plain.get(name)) is not None:
        return plain
    sql, kind = value_of(source, name, options.get("cast"), parameters)
    function = options.get("func")
    if function is None:
        return Selected.of(sql, kind, source.stage)
    _require_function(function, kind)
    return Selected(Expression(sql, source.stage), kind, function)


def _require_function(function: str, kind: str) -> None:
    if function not in _FUNCTIONS:
        hint = did_you_mean(function, _FUNCTIONS) or f"there are {', '.join(_FUNCTIONS)}"
        raise InvalidInputError(f"there is no function {quote(function)}: {hint}")
    if function != "count" and kind in ("jsonb", "boolean", "uuid"):
        raise InvalidInputError(
            f"{function} needs numbers, texts or times: give values in JSON a cast"
        )


def _maker_of_record(source: Source, options: Mapping[str, str]) -> Callable[..., object]:
    if "func" in options:
        raise InvalidInputError("max, min and count take a field, not '*'")
    record = RECORDS.get(source.entity.name)
    if record is None:
        raise InvalidInputError(
            f"{source.entity.name} is not an entity: project its columns, which are "
            f"{', '.join(source.entity.columns)}"
        )
    return record.make
