"""Columns of nodes that a caller names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from aiidadb.criteria.tables import NODE_COLUMNS, NODE_JSON_COLUMNS, nodes
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import did_you_mean, quote

if TYPE_CHECKING:
    from collections.abc import Collection, Set

    from pypika.terms import Term

__all__ = ["Columns", "as_columns", "no_such_column"]

Columns: TypeAlias = "list[Term]"
"""Some columns of nodes, or what is inside them."""


def as_columns(names: Iterable[str], *, or_else: Set[str] = frozenset()) -> Columns:
    """Columns of nodes by name, checked.

    Args:
        names: Columns, ``pk`` among them, or keys inside two of them, as ``attributes.cell``.
        or_else: What can be asked for besides columns, and may have been meant.

    Raises:
        InvalidInputError: There are none, or nodes have no such column.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidTypeError(
            f"return_values must be a collection, such as ('id',), not {quote(names)}"
        )
    columns = [_as_column(name, or_else) for name in names]
    if not columns:
        raise InvalidInputError("return_values is empty: give the columns wanted, such as ('id',)")
    return columns


def no_such_column(
    name: str, known: Collection[str], *, or_else: str | None = None
) -> InvalidInputError:
    """The error for a column that nodes do not have.

    Args:
        name: What was asked for.
        known: The columns to choose from.
        or_else: What else can be given.
    """
    advice = did_you_mean(name, known) or ", ".join(
        (f"choose among {', '.join(sorted(known))}", *([or_else] if or_else else []))
    )
    return InvalidInputError(f"nodes have no column {quote(name)}", advice=advice)


def _as_column(name: str, or_else: Set[str]) -> Term:
    if not isinstance(name, str):
        raise InvalidTypeError(f"{quote(name)} is not a column of nodes: give its name")
    column, *path = name.split(".")
    column = "id" if column == "pk" else column
    if column not in NODE_COLUMNS or (path and column not in NODE_JSON_COLUMNS):
        raise no_such_column(
            name,
            NODE_COLUMNS | or_else,
            or_else="or name what is inside attributes or extras, such as 'attributes.cell'",
        )
    field = nodes.field(column)
    # A list, whatever the keys are: as text they would have to be quoted.
    return field.get_path_json_value(path) if path else field  # type: ignore[arg-type]
