"""Where a page of rows ends, as a text that callers hand back for the next one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote
from aiidadb.text import find_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiidadb.querybuilder.shape import Shape

__all__ = ["PageEnd", "read_page_end", "write_page_end"]

_LONGEST: Final = 1_048_576

Guests: TypeAlias = "Sequence[tuple[str, str]]"
"""Criteria of pypika: the tag that each is on, and its text."""


class PageEnd(NamedTuple):
    """The last row of a page.

    Attributes:
        keys: What it is ordered by, as the server writes it.
    """

    keys: tuple[str | None, ...]

    @property
    def nulls(self) -> tuple[bool, ...]:
        """Which of the keys are null."""
        return tuple(key is None for key in self.keys)


def write_page_end(shape: Shape, guests: Guests, keys: Sequence[str | None]) -> str:
    """The text for where a page ends."""
    text = json.dumps([_mark(shape, guests, keys), *keys], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_page_end(shape: Shape, guests: Guests, text: object) -> PageEnd:
    """What :func:`write_page_end` wrote for the same query.

    Raises:
        InvalidInputError: It was written by something else or for another query, or changed since.
        InvalidTypeError: It is not a text.
    """
    if not isinstance(text, str):
        raise InvalidTypeError(f"after must be the next of a page, not {quote(text)}")
    problem = InvalidInputError(
        f"after must be the next of a page of the same query, not {quote(text)}"
    )
    if len(text) > _LONGEST:
        raise problem
    try:
        found = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, binascii.Error, RecursionError):
        raise problem from None
    if not isinstance(found, list) or len(found) < 2:
        raise problem
    keys = tuple(found[1:])
    if not all(key is None or (isinstance(key, str) and not find_problem(key)) for key in keys):
        raise problem
    if found[0] != _mark(shape, guests, keys):
        raise problem
    return PageEnd(keys)


def _mark(shape: Shape, guests: Guests, keys: Sequence[str | None]) -> str:
    """What distinguishes the end of a page of one query from all else, also from altered text."""
    values = [
        sorted(map(repr, one)) if isinstance(one, set | frozenset) else one
        for one in shape.values[:-2]
    ]
    mark = hashlib.blake2b(shape.rest, digest_size=8)
    mark.update(repr((shape.filters, values, guests, [*keys])).encode("utf-8", "backslashreplace"))
    return mark.hexdigest()
