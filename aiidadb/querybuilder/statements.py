"""Compiled statements, kept by the shape of the query, for as long as they are used."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from aiidadb.querybuilder.compiler import ALL_ROWS, compile_query
from aiidadb.querybuilder.dictionary import Draft

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from aiidadb.querybuilder.compiler import Asked, Compiled, Guest
    from aiidadb.querybuilder.shape import Shape
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["statement_of"]

_MOST: Final = 512

_kept: Final[OrderedDict[Hashable, Compiled]] = OrderedDict()
"""The statement used last comes last."""


def statement_of(
    shape: Shape,
    version: SchemaVersion,
    *,
    asked: Asked = ALL_ROWS,
    guests: Sequence[Guest] = (),
) -> Compiled:
    """The statement for a query, compiled if it is the first of its shape.

    Args:
        shape: Of the query.
        version: Of the database.
        asked: What is asked of the query.
        guests: Further criteria; with them nothing is kept.

    Raises:
        InvalidInputError: Something in the query cannot be meant.
        InvalidTypeError: Something in it is not of the type that it must have.
    """
    key = (shape.key, asked, version)
    try:
        compiled = _kept[key]
    except KeyError:
        pass
    else:
        if not guests:
            _kept.move_to_end(key)
            return compiled
    compiled = compile_query(
        Draft.read(shape.without_filters()).query,
        shape.filters,
        len(shape.values),
        version,
        asked=asked,
        bounds=shape.bounds,
        guests=guests,
    )
    if not guests:
        _kept[key] = compiled
        if len(_kept) > _MOST:
            _kept.popitem(last=False)
    return compiled
