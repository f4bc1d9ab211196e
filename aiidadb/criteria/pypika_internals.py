"""The private parts of pypika that are read: all of them are here, and nowhere else.

pypika has no public way to ask a query what it is made of. A new version may rename any of these
parts, so ``pyproject.toml`` bounds pypika's version above, and
``tests/criteria/test_pypika_internals.py`` names each part that a new version must still have.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

from pypika.queries import (
    AliasedQuery,
    Join,
    QueryBuilder,
    Selectable,
    Table,
    _SetOperation,  # pypika's only name for a union of queries
)
from pypika.terms import ContainsCriterion, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "SetOperation",
    "change_children",
    "children_of",
    "common_queries",
    "is_negated",
    "replace_numbers_of_rows",
    "selects_only",
    "sources_of",
    "table_name",
    "united_queries",
    "write_tables_of_columns",
]

SetOperation = _SetOperation
"""A union, an intersection or a difference of queries."""

_Part = TypeVar("_Part")


def table_name(table: Table) -> str:
    """The name that a table has in the database, whatever its alias is."""
    name: str = table._table_name
    return name


def sources_of(query: QueryBuilder) -> list[Selectable]:
    """What a query selects from: tables and queries, joined ones too."""
    return [*query._from, *(join.item for join in query._joins)]


def common_queries(query: QueryBuilder) -> list[AliasedQuery]:
    """The queries that stand under ``with``."""
    return list(query._with)


def selects_only(query: QueryBuilder) -> bool:
    """Whether a query selects something and, apart from queries inside, changes nothing."""
    changes = (query._insert_table, query._update_table, query._delete_from, query._select_into)
    return bool(query._selects) and not any(changes)


def united_queries(union: SetOperation) -> list[object]:
    """The queries of a union, in order."""
    return [union.base_query, *(other for _, other in union._set_operation)]


def is_negated(criterion: ContainsCriterion) -> bool:
    """Whether this is ``not in`` instead of ``in``."""
    return criterion._is_negated


def replace_numbers_of_rows(
    query: QueryBuilder | SetOperation, change: Callable[[object, str], object]
) -> None:
    """Replace ``limit`` and ``offset`` of a query, where it has them.

    Args:
        query: A copy of our own; it is changed.
        change: Given the number and its name, gives what stands in its place.
    """
    if query._limit is not None:
        query._limit = change(query._limit, "limit")
    if query._offset is not None:
        query._offset = change(query._offset, "offset")


def write_tables_of_columns(query: QueryBuilder) -> None:
    """Have every column written with its table.

    pypika forgets the table where a column of the query around this one is selected.

    Args:
        query: A copy of our own; it is changed.
    """
    query._foreign_table = True


def children_of(part: object) -> Iterator[object]:
    """What a part of a pypika term consists of, one level down."""
    if isinstance(part, list | tuple | set):
        yield from part
    elif isinstance(part, dict):
        yield from dict.values(part)
    elif isinstance(part, Node | Join) and not isinstance(part, Table):
        yield from vars(part).values()


def change_children(part: _Part, change: Callable[[object], object]) -> _Part:
    """A copy of a part of a pypika term, with each of its attributes changed."""
    changed = copy.copy(part)
    for name, child in vars(part).items():
        setattr(changed, name, change(child))
    return changed
