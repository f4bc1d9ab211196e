"""Filters without their values: what the shape of a query and its compilation have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from aiidadb.messages import quote

if TYPE_CHECKING:
    from aiidadb.exceptions import InvalidInputError

__all__ = [
    "COMBINATIONS",
    "MIXED",
    "NAIVE_TIME",
    "NESTED",
    "Each",
    "Kind",
    "Mark",
    "Operator",
    "Tree",
    "of_filter",
]

COMBINATIONS: Final = frozenset({"and", "or", "!and", "~and", "!or", "~or"})


class Mark:
    """Stands for a kind of value that is more, or less, than a Python type."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


NAIVE_TIME: Final = Mark("a time without a time zone")
MIXED: Final = Mark("values of several types")
NESTED: Final = Mark("further operators")


class Each(NamedTuple):
    """The kind of a collection for ``in``.

    Attributes:
        kind: That of its items; None where there are none.
    """

    kind: type | Mark | None


Kind: TypeAlias = "type | Mark | Each"
"""What a value is, as far as the text of a statement depends on it."""

Operator: TypeAlias = "tuple[str | None, Kind, Any]"
"""An operator, the kind of its value, and the place of the value among all.

Without an operator the value stands for itself in the dictionary, which means ``==``. Under
``NESTED`` there are lists of operators in place of a place.
"""

Tree: TypeAlias = "tuple[tuple[str, tuple[Any, ...]], ...]"
"""Filters: pairs of a key and operators, or of a combination and further trees."""


def of_filter(key: str, error: InvalidInputError) -> InvalidInputError:
    """An error about a filter, which says about which one."""
    return type(error)(f"the filter on {quote(key)}: {error}")
