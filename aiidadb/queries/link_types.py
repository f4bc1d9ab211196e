"""The types of links that AiiDA has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["DATA_PROVENANCE", "LINK_TYPES", "as_link_types"]

LINK_TYPES: Final = frozenset(
    {"create", "return", "input_calc", "input_work", "call_calc", "call_work"}
)
"""Every type of link that AiiDA has."""

DATA_PROVENANCE: Final = ("create", "input_calc")
"""The links by which data come from data; QueryBuilder's ancestors follow these alone."""


def as_link_types(link_types: Collection[str] | None) -> list[str] | None:
    """Types of links as they are sent; None for all.

    Raises:
        InvalidInputError: AiiDA has no links of such a type.
        InvalidTypeError: Not a collection of texts.
    """
    if link_types is None:
        return None
    if isinstance(link_types, str):
        raise InvalidTypeError(f"link_types must be a collection, such as ({quote(link_types)},)")
    if not isinstance(link_types, Iterable):
        raise InvalidTypeError(
            f"link_types must be a collection of link types, not {quote(link_types)}"
        )
    names = list(link_types)
    for name in names:
        if not isinstance(name, str) or name not in LINK_TYPES:
            kind = InvalidInputError if isinstance(name, str) else InvalidTypeError
            raise kind(
                f"there is no link type {quote(name)}; AiiDA has {', '.join(sorted(LINK_TYPES))}"
            )
    return sorted(names)
