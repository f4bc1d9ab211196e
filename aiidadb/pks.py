"""Primary keys as callers give them: one or many, plain or on objects."""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Protocol, SupportsIndex, TypeAlias

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote
from aiidadb.turns import in_turn, sort_distinct

__all__ = ["HasPk", "Pks", "as_many_pks", "as_node_pks", "as_pk", "as_pks", "as_single_pk"]


class HasPk(Protocol):
    """Anything with a ``pk``, such as AiiDA's nodes."""

    @property
    def pk(self) -> int | None:
        """The primary key; None where it is not stored yet."""


Pks: TypeAlias = SupportsIndex | HasPk | Iterable[SupportsIndex | HasPk]
"""One pk, or any iterable of pks, or of objects that have one; integers of numpy too."""


def as_pks(pks: Pks) -> list[int]:
    """One pk or some, or objects that have one, as a sorted list without repeats.

    Raises:
        InvalidTypeError: One of them is not an integer (nor are True and 1.0), or has no pk yet.
        InvalidInputError: One does not fit into 64 bits.
    """
    return sorted({as_pk(one) for one in _one_by_one(pks)})


async def as_many_pks(pks: Pks) -> list[int]:
    """:func:`as_pks` for any number of pks: others on the event loop get their turn meanwhile."""
    items = _one_by_one(pks)
    if isinstance(items, tuple) and len(items) == 1:
        return [as_pk(items[0])]
    # What others may change before all of it is read is copied first.
    if not isinstance(items, Iterator | range):
        items = tuple(items)
    return await in_turn(sort_distinct(map(as_pk, items)))


async def as_node_pks(pks: Pks) -> list[int]:
    """:func:`as_many_pks` of what can be a node: a pk is a 32-bit integer."""
    if type(pks) is int and 0 < pks < 2**31:
        return [pks]
    found = await as_many_pks(pks)
    del found[bisect_left(found, 2**31) :]
    del found[: bisect_left(found, 1)]
    return found


def as_single_pk(pks: Pks, what: str) -> int:
    """The pk where exactly one is given.

    Raises:
        InvalidTypeError: As :func:`as_pks`.
        InvalidInputError: There are several, or none; the message begins with ``what``.
    """
    if isinstance(pks, str | bytes) or not (
        isinstance(pks, Integral | Iterable) or hasattr(pks, "pk")
    ):
        raise InvalidTypeError(f"{what} must be one pk, not {quote(pks)}")
    found = as_pks(pks)
    if len(found) != 1:
        raise InvalidInputError(f"{what} must be one pk, not {quote(pks)}")
    return found[0]


def _one_by_one(pks: Pks) -> Iterable[object]:
    if isinstance(pks, Integral) or hasattr(pks, "pk"):
        return (pks,)
    if isinstance(pks, str | bytes) or not isinstance(pks, Iterable) or _has_no_axis(pks):
        raise InvalidTypeError(f"pks must be one pk or an iterable of pks, not {quote(pks)}")
    return pks


def _has_no_axis(array: object) -> bool:
    """Whether it is an array of numpy that cannot be iterated over."""
    return getattr(array, "ndim", 1) == 0


def as_pk(one: object) -> int:
    """One pk, or the pk of one object that has it.

    Raises:
        InvalidTypeError: It is not an integer (nor are True and 1.0), or the object has no pk yet.
        InvalidInputError: It does not fit into 64 bits.
    """
    value = one if type(one) is int else _number_of(one)
    if value is None:
        raise InvalidTypeError(f"{quote(one)} is not a valid pk: give an integer or a stored node")
    if not -(2**63) <= value < 2**63:
        raise InvalidInputError(f"{quote(value)} is not a valid pk: it does not fit into 64 bits")
    return value


def _number_of(one: object) -> int | None:
    """The number, for what is not plainly one: an object with a pk, an integer of numpy."""
    if not isinstance(one, Integral):
        one = getattr(one, "pk", None)
    if isinstance(one, bool) or not isinstance(one, Integral):
        return None
    return operator.index(one)  # of a member of an enumeration, its number and not its name
