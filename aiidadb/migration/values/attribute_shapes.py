"""Rows of AiiDA 0.x, one per item of a list or dict, nested into JSON with places for the values.

A node's rows are described by tokens: what a row is, in front of its key. ``=key`` is a value,
``{key`` a dict, ``[2 key`` a list of two items, ``?key`` a value of its own kind. Keys of items are
those of their list or dict, with the item's index or key after a dot.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MisplacedRow", "as_format", "fill", "nest"]

_HOLES_AT_MOST: Final = 1_000_000

# Around the number of a row, where its value goes. These characters are not in any text that
# PostgreSQL holds, so they are in no key.
_OPEN: Final = "\ud800"
_CLOSE: Final = "\udc00"
_PLACE: Final = re.compile(f'"{_OPEN}(\\d+){_CLOSE}"')

_Nested: TypeAlias = "dict[str, _Nested] | list[_Nested] | str | None"
_Container: TypeAlias = "dict[str, _Nested] | list[_Nested]"


class MisplacedRow(ValueError):
    """A row has no place in its node's document.

    Attributes:
        key: The row's key.
        reason: Why.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"key {key!r}: {reason}")
        self.key = key
        self.reason = reason


def nest(tokens: Sequence[str]) -> str:
    """Nest the rows of a node as AiiDA does.

    AiiDA takes them in the order of their keys. Items of a list that have no row are null.

    Args:
        tokens: One per row, in any order.

    Returns:
        JSON with places for values, for :func:`as_format` or :func:`fill`.

    Raises:
        MisplacedRow: A row that AiiDA fails at, or two for the same item.
    """
    document: dict[str, _Nested] = {}
    containers: dict[str, _Container] = {}
    # By key, in Python's order, that of code points: a list or dict comes before its items.
    for key, number, kind in sorted(
        (token[1:] if token[0] != "[" else token.partition(" ")[2], number, token[0])
        for number, token in enumerate(tokens)
    ):
        holder, dot, last = key.rpartition(".")
        inside = containers.get(holder) if dot else document
        if inside is None:
            inside = _find(document, key)
        made: _Nested
        if kind == "{":
            containers[key] = made = {}
        elif kind == "[":
            containers[key] = made = [None] * _length(key, tokens[number], len(tokens))
        else:
            made = f"{_OPEN}{number + 1}{_CLOSE}"
        if isinstance(inside, dict):
            if last in inside:
                raise MisplacedRow(key, "there are two rows for it")
            inside[last] = made
        else:
            index = _index(key, inside, last)
            if inside[index] is not None:
                raise MisplacedRow(key, "there are two rows for this item of a list")
            inside[index] = made
    return json.dumps(document, ensure_ascii=False)


def as_format(nested: str) -> str:
    """Turn nested JSON into a template for PostgreSQL's ``format()``, with ``%3$s`` for places."""
    escaped = nested.replace("%", "%%")
    return escaped.replace(f'"{_OPEN}', "%").replace(f'{_CLOSE}"', "$s")


def fill(nested: str, values: Sequence[str | None]) -> str:
    """Put values, as JSON, into the places of nested JSON; those of lists and dicts have none."""
    return _PLACE.sub(lambda found: str(values[int(found[1]) - 1]), nested)


def _find(document: _Container, key: str) -> _Container:
    """What holds an item, step by step, as AiiDA looks for it: ``a.01`` finds ``a.1`` in a list."""
    inside: _Nested = document
    for part in key.split(".")[:-1]:
        if isinstance(inside, dict):
            if part not in inside:
                raise MisplacedRow(key, f"there is no row for {part!r} on its path")
            inside = inside[part]
        elif isinstance(inside, list):
            inside = inside[_index(key, inside, part)]
        else:
            raise MisplacedRow(key, f"what holds {part!r} on its path is neither a list nor a dict")
    if isinstance(inside, dict | list):
        return inside
    raise MisplacedRow(key, "it is inside something that is neither a list nor a dict")


def _length(key: str, token: str, rows: int) -> int:
    digits = token[1 : token.index(" ")]
    if not digits:
        raise MisplacedRow(key, "it is a list of unknown length")
    length = int(digits)
    if length > rows + _HOLES_AT_MOST:  # AiiDA would make as many nulls
        raise MisplacedRow(key, f"it is a list of {length}, whose items are not there")
    return length


def _index(key: str, inside: list[_Nested], part: str) -> int:
    try:
        index = int(part)
    except ValueError:
        raise MisplacedRow(key, f"{part!r} is not a list index") from None
    if not -len(inside) <= index < len(inside):
        raise MisplacedRow(key, f"a list of {len(inside)} has no item {index}")
    return index
