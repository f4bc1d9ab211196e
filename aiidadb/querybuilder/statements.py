"""Compiled statements, kept by the shape of the query, for as long as they are used."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from aiidadb.querybuilder.canonical import read_canonical
from aiidadb.querybuilder.compiling.compiled import ALL_ROWS
from aiidadb.querybuilder.compiling.compiler import compile_query
from aiidadb.querybuilder.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiidadb.querybuilder.compiling.compiled import Asked, Compiled, Guest
    from aiidadb.querybuilder.filter_tree import Tree
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["statement_of"]


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
        InvalidInputError: Something in the query is not valid.
        InvalidTypeError: Something in it is not of the type that it must have.
    """
    number = len(shape.values)
    if guests:
        return _compiled(shape, number, version, asked, guests)
    return _kept(shape.rest, shape.filters, shape.bounds, number, version, asked)


@lru_cache(maxsize=512)
def _kept(
    rest: bytes,
    filters: tuple[tuple[str, Tree], ...],
    bounds: tuple[bool, bool],
    number: int,
    version: SchemaVersion,
    asked: Asked,
) -> Compiled:
    """The statement of a shape, and so of each query that is compared with other values."""
    shape = Shape(rest, filters, bounds, [None] * number)
    return _compiled(shape, number, version, asked, ())


def _compiled(
    shape: Shape, number: int, version: SchemaVersion, asked: Asked, guests: Sequence[Guest]
) -> Compiled:
    return compile_query(
        read_canonical(shape.without_filters()),
        shape.filters,
        number,
        version,
        asked=asked,
        bounds=shape.bounds,
        guests=guests,
    )
