"""Primary keys as callers give them: one or many, plain or on objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeAlias

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote

__all__ = ["HasPk", "Pks", "as_pk", "as_pks"]


class HasPk(Protocol):
    """Anything with a ``pk``, such as AiiDA's nodes."""

    @property
    def pk(self) -> int | None:
        """The primary key; None where it is not stored yet."""


Pks: TypeAlias = int | HasPk | Iterable[int | HasPk]
"""One pk, or any iterable of pks, or of objects that have one."""


def as_pks(pks: Pks) -> list[int]:
    """One pk or many, or objects that have one, as a sorted list without repeats.

    Raises:
        InvalidTypeError: One of them is no integer (nor are True and 1.0), or has none yet.
        InvalidInputError: One does not fit into 64 bits.
    """
    if isinstance(pks, int) or hasattr(pks, "pk"):
        return [as_pk(pks)]
    if isinstance(pks, str | bytes) or not isinstance(pks, Iterable):
        raise InvalidTypeError(f"pks must be one pk or an iterable of pks, not {quote(pks)}")
    return sorted({as_pk(one) for one in pks})


def as_pk(one: object) -> int:
    """One pk, or the pk of one object that has it.

    Raises:
        InvalidTypeError: It is no integer (nor are True and 1.0), or the object has none yet.
        InvalidInputError: It does not fit into 64 bits.
    """
    value = one if isinstance(one, int) else getattr(one, "pk", None)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(f"{quote(one)} is no pk: give an integer or a stored node")
    if not -(2**63) <= value < 2**63:
        raise InvalidInputError(f"{quote(value)} is no pk: it does not fit into 64 bits")
    return value
