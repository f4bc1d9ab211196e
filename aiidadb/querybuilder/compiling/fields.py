"""A field by its name: a column of a vertex or edge, or a place inside a JSON column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import quote
from aiidadb.querybuilder.compiling.sources import SQL_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.querybuilder.compiling.parameters import Parameters
    from aiidadb.querybuilder.compiling.sources import Source

__all__ = ["source_of_tag", "value_of"]

_CASTS: Final[Mapping[str, str]] = {
    "f": "float8", "i": "int", "b": "boolean", "t": "text", "j": "jsonb", "d": "timestamp",
}  # fmt: skip


def source_of_tag(tag: str, sources: Mapping[str, Source]) -> Source:
    """The vertex or edge that a tag stands for.

    Raises:
        InvalidInputError: It stands for nothing that can be asked for.
    """
    source = sources.get(tag)
    if source is None:
        raise InvalidInputError(f"the tag {quote(tag)} does not stand for anything")
    return source


def value_of(
    source: Source, name: str, cast: str | None, parameters: Parameters
) -> tuple[str, str]:
    """SQL of a field, and its type.

    Args:
        source: The vertex or edge.
        name: Of a column, and behind it the steps to a place in it.
        cast: What a value in JSON is made to be.
        parameters: Those of the statement.

    Raises:
        InvalidInputError: There is no such column, place or cast.
    """
    first, *steps = name.split(".")
    column = source.entity.column(first)
    sql = source.sql(column)
    if not steps and not column.is_keyed:
        return sql, SQL_TYPES[column.kind]
    if column.kind != "JSON":
        raise InvalidInputError(
            f"{first} of {source.entity.spoken} is not JSON, so that there is nothing at "
            f"{quote(name)}: use {quote(first)}"
        )
    if cast is None:
        return (f"{sql} #> {parameters.path(steps)}" if steps else sql), "jsonb"
    kind = _CASTS.get(cast)
    if kind is None:
        raise InvalidInputError(f"a cast is one of {', '.join(_CASTS)}, not {quote(cast)}")
    text = f"({sql} #>> {parameters.path(steps)})"
    return (text if kind == "text" else f"{text}::{kind}"), kind
