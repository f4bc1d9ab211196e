"""The parameters of a statement that is being written, and how values become them."""

from __future__ import annotations

import contextlib
import datetime
import json
import uuid
from array import array
from functools import partial
from typing import TYPE_CHECKING, Any, Final, SupportsInt, TypeAlias

from aiidadb.exceptions import InvalidInputError
from aiidadb.jsonvalue import decode_json, encode_json, with_lists
from aiidadb.messages import quote
from aiidadb.text import find_problem, require_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

__all__ = [
    "JSON_TYPES",
    "Convert",
    "Parameters",
    "as_double",
    "as_integer",
    "as_integers",
    "as_json",
    "as_json_list",
    "as_json_type",
    "as_moment",
    "as_pattern",
    "as_spelled",
    "as_text",
    "as_time",
    "as_uuid",
    "each_of",
    "first_uuid",
    "integers_of_json",
    "last_uuid",
    "text_as_json",
    "wrapped",
]

Convert: TypeAlias = "Callable[[Any], object] | None"
"""Makes a parameter of a value of the dictionary; None: it is one as it is."""

JSON_TYPES: Final = ("object", "array", "string", "number", "boolean", "null")
"""What PostgreSQL calls the types of JSON values."""

_write: Final = json.JSONEncoder(ensure_ascii=False).encode

_HEX: Final = frozenset("0123456789abcdef")
_DASHES: Final = frozenset({8, 13, 18, 23})
_UUID_LENGTH: Final = 36


class Parameters:
    """Numbers the parameters of one statement; what is the same is one of them.

    Args:
        number: How many values the query has.

    Attributes:
        slots: For each parameter the place of its value, and what makes it of the value.
        subjects: For each parameter the filter that its value is of.
        subject: The filter that is being written.
        constants: Values that are part of the shape; their places are behind those of the query.
    """

    def __init__(self, number: int) -> None:
        self.slots: list[tuple[int, Convert]] = []
        self.subjects: list[str] = []
        self.subject = ""
        self.constants: list[object] = []
        self._number = number
        self._known: dict[object, str] = {}

    def value(self, place: int, cast: str, convert: Convert = None) -> str:
        """SQL for a value of the query."""
        key: object = (place, cast, convert)
        if type(convert) is partial:  # created each time, and compared by content
            key = (place, cast, convert.func, *convert.keywords.items())
        if (known := self._known.get(key)) is None:
            self.slots.append((place, convert))
            self.subjects.append(self.subject)
            known = self._known[key] = f"${len(self.slots)}::{cast}"
        return known

    def path(self, steps: Sequence[str]) -> str:
        """SQL for the steps to a value inside a JSON value."""
        key = tuple(steps)
        if (known := self._known.get(key)) is None:
            for step in steps:
                require_text(step, "the key", quoted=True)
            known = self._known[key] = self.constant(list(steps), "text[]")
        return known

    def constant(self, value: object, cast: str) -> str:
        """SQL for a value that is part of the shape."""
        self.slots.append((self._number + len(self.constants), None))
        self.subjects.append(self.subject)
        self.constants.append(value)
        return f"${len(self.slots)}::{cast}"

    def guests(self, values: Sequence[object]) -> None:
        """Take over the values of SQL that was bound elsewhere, from :attr:`next` on."""
        for value in values:
            self.constant(value, "")

    @property
    def next(self) -> int:
        """The number of the next parameter."""
        return len(self.slots) + 1


def as_text(value: str) -> str:
    """A text, if PostgreSQL can hold it."""
    if problem := find_problem(value):
        raise InvalidInputError(f"{quote(value)} holds {problem}")
    return str.__str__(value)


def as_pattern(value: str) -> str:
    """A text for ``like``: at its end a lone backslash stands for itself."""
    text = as_text(value)
    backslashes = len(text) - len(text.rstrip("\\"))
    return text if backslashes % 2 == 0 else f"{text}\\"


def as_spelled(
    value: str, spell: Callable[[str], str], read: Callable[[str], str] = as_text
) -> str:
    """A text, or what else ``read`` makes of it, as the database spells it."""
    return spell(read(value))


def as_integer(value: SupportsInt | str) -> int:
    """An integer, such as of NumPy, which clients that send JSON may write as text."""
    try:
        number = int(value)
    except ValueError:
        raise InvalidInputError(f"{quote(value)} is not an integer") from None
    if not -(2**63) <= number < 2**63:
        raise InvalidInputError(f"{quote(value)} does not fit into 64 bits")
    return number


def as_integers(values: Collection[Any]) -> list[int]:
    """Integers for ``in`` on a column, as far as the column can hold them.

    All of AiiDA's are of four bytes, and nothing in them is equal to what takes more. The server
    looks values up in an array of the column's own type; through one of eight bytes it would go.
    """
    # There may be very many: looking at each would take ten times as long.
    with contextlib.suppress(OverflowError, TypeError):
        return array("i", values).tolist()
    return [number for number in map(as_integer, values) if -(2**31) <= number < 2**31]


def as_double(value: float) -> float:
    """A number, as JSON's are compared."""
    try:
        return float(value)
    except OverflowError:
        raise InvalidInputError(f"{quote(value)} is too large a number") from None


def as_uuid(value: str | uuid.UUID) -> uuid.UUID:
    """A UUID, with or without dashes."""
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(value)
    except ValueError:
        raise InvalidInputError(
            f"{quote(value)} is not a UUID: to look for the beginning of one, use 'like'"
        ) from None


def as_time(value: str) -> str:
    """The text of a time, as clients that send JSON have it, in a form that the server reads."""
    try:
        return datetime.datetime.fromisoformat(value).isoformat()
    except ValueError:
        raise InvalidInputError(
            f"{quote(value)} is not a time: write it as ISO 8601 has it, such as "
            "'2024-05-31T12:00:00+00:00'"
        ) from None


def as_moment(value: datetime.datetime) -> datetime.datetime:
    """A time that is one in UTC too."""
    try:
        return value.astimezone(datetime.UTC)
    except OverflowError:
        raise InvalidInputError(
            f"{quote(value)} is before the year 1 or after 9999 in UTC"
        ) from None


def as_json(value: object) -> str:
    """The JSON text of a number, text or truth value."""
    return encode_json(value)  # type: ignore[arg-type]  # it refuses everything else


def as_json_type(value: str) -> str:
    """The name of a type in JSON."""
    if value not in JSON_TYPES:
        raise InvalidInputError(
            f"'of_type' takes one of {', '.join(JSON_TYPES)}, not {quote(value)}"
        )
    return str.__str__(value)


def as_json_list(values: Sequence[object]) -> str:
    """The JSON text of a tuple."""
    return encode_json(with_lists(values))


def integers_of_json(text: str) -> list[int]:
    """The integers of a JSON list, such as the ids on a path."""
    numbers = decode_json(text)
    if not all(type(number) is int for number in numbers):
        raise InvalidInputError(f"{quote(numbers)} is not a list of integers")
    return [as_integer(number) for number in numbers]


def each_of(values: Collection[Any], convert: Convert) -> list[object]:
    """The items of a collection for ``in``, as an array."""
    items = list(values)
    if convert is as_text:
        as_text("".join(items))
        return items
    return items if convert is None else [convert(item) for item in items]


def text_as_json(text: str) -> str:
    """The JSON text of a text, if PostgreSQL can hold it."""
    return _write(as_text(text))


def wrapped(value: str | bool, before: str, after: str) -> str:
    """The JSON text of objects in each other that hold a text or truth value at the end of a path.

    Args:
        value: It.
        before: The text in front of it.
        after: The text behind it.
    """
    written = text_as_json(value) if isinstance(value, str) else "true" if value else "false"
    return f"{before}{written}{after}"


def first_uuid(pattern: str) -> uuid.UUID:
    """The first UUID that a pattern for ``like`` can match."""
    return uuid.UUID(_filled(pattern, "0"))


def last_uuid(pattern: str) -> uuid.UUID:
    """The last UUID that a pattern for ``like`` can match."""
    return uuid.UUID(_filled(pattern, "f"))


def _filled(pattern: str, filler: str) -> str:
    begin = ""
    for place, character in enumerate(pattern[:_UUID_LENGTH]):
        if (character == "-") if place in _DASHES else (character in _HEX):
            begin += character
        else:
            break
    return (begin.replace("-", "") + 32 * filler)[:32]
