"""Python values as JSON text that PostgreSQL's JSONB gives back equal.

JSONB keeps numbers as decimals: ``1e300`` comes back as an integer of 301 digits, which Python does
not find equal. Floats are therefore written out with a decimal point, which JSONB keeps.

A value can be of any size, so the work is left to what is written in C: ``json`` writes the text,
and what it lets through is looked for in whole levels of the value and in the whole text. Only
where something is found is the value walked item by item, to say where. Callers in an event loop
encode what is not :func:`is_small` in a thread.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from aiidadb.exceptions import CorruptStorage, InvalidInputError, InvalidTypeError
from aiidadb.fresh_stack import on_fresh_stack
from aiidadb.messages import quote
from aiidadb.text import find_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["JsonValue", "decode_json", "encode_json", "is_small", "read_json", "with_lists"]

JsonValue: TypeAlias = "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"
"""What JSON can hold, as Python has it. NaN and infinities are refused when they are stored."""

A = TypeVar("A")

_SMALL: Final = 1000

MAX_DEPTH: Final = 300
MAX_DIGITS: Final = 4300  # Python itself reads no longer integers

_write: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

_SCALARS: Final = (str, int, float, type(None))
_KINDS: Final = (*_SCALARS, list, dict)
_PLAIN_SCALARS: Final = frozenset({bool, *_SCALARS})
_PLAIN_KINDS: Final = _PLAIN_SCALARS | {list, dict}
_LIST_ALONE: Final = frozenset({list})

_EXPONENT: Final = re.compile(r"e\+(\d+)")
_ENDINGS: Final = {str(at): f"{'0' * at}.0" for at in range(sys.float_info.max_10_exp + 1)}
"""What is written in place of an exponent."""


def encode_json(value: JsonValue) -> str:
    """The JSON text of a value, to be cast to ``jsonb`` by the server.

    Args:
        value: None, a boolean, number or string, or lists and dictionaries of these, up to 300
            levels deep.

    Returns:
        JSON text; what JSONB makes of it is read back equal to the value.

    Raises:
        InvalidInputError: JSON or PostgreSQL cannot hold the value: NaN, infinities, NUL
            characters, lone surrogates, keys that are not strings, tuples, sets, other objects. The
            message says where in the value.
    """
    try:
        text = on_fresh_stack(_write, value)
    except (TypeError, ValueError, RecursionError):
        _refuse_unstorable(value)
        raise
    if not _has_only_what_json_has(value) or not _is_storable(text):
        _refuse_unstorable(value)
    return _with_decimal_points(text) if "e+" in text else text


def is_small(value: object) -> bool:
    """Whether a value is encoded, or refused, in less than a millisecond, whatever is in it.

    It is of a thousand items and characters at most. What JSON does not have is never small.
    """
    left = _SMALL
    items = [value]
    while items:
        item = items.pop()
        left -= 1
        if isinstance(item, str):
            left -= len(item)
        elif isinstance(item, int):
            left -= item.bit_length() // 3
        # Others than Python's own may have methods that give anything.
        elif isinstance(item, list | dict) and type(item) in (list, dict):
            left -= len(item)
            if left >= 0:
                items.extend(item)
                items.extend(item.values() if isinstance(item, dict) else ())
        elif not isinstance(item, float | None):
            return False
        if left < 0:
            return False
    return True


def decode_json(text: str) -> Any:
    """The value of JSON text that the server sent.

    Raises:
        CorruptStorage: It is nested deeper than Python can read, or has a number of more digits.
    """
    try:
        return on_fresh_stack(json.loads, text)
    except (RecursionError, ValueError) as error:
        problem = _why_unreadable(error)
    raise CorruptStorage(f"the database holds a JSON value that {problem}")


def read_json(text: str) -> tuple[Any, str | None]:
    """As much of a JSON text that the server sent as Python can hold.

    Returns:
        The value, and None. Else what can be read of it, and what it is that cannot be read, as in
        ``holds an integer of more than 4300 digits``: such integers are infinite then. Of what is
        nested too deep nothing can be read, and the value is None.
    """
    try:
        return on_fresh_stack(json.loads, text), None
    except (RecursionError, ValueError) as error:
        problem = _why_unreadable(error)
    with contextlib.suppress(RecursionError, ValueError):
        return on_fresh_stack(json.loads, text, parse_int=_number), problem
    return None, problem


def _number(digits: str) -> int | float:
    return float(digits) if len(digits) > sys.get_int_max_str_digits() > 0 else int(digits)


def _why_unreadable(error: RecursionError | ValueError) -> str:
    if isinstance(error, RecursionError):
        return "is nested deeper than Python can read"
    if isinstance(error, json.JSONDecodeError):  # not JSON, which the server does not send
        return f"Python cannot read: {error}"
    return f"holds an integer of more than {sys.get_int_max_str_digits()} digits"


def _has_only_what_json_has(value: object) -> bool:
    """Whether there is nothing in a value that ``json`` writes as if it were something else.

    That is a tuple, or a key that is not a string; and nothing is nested too deep.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        kinds = set(map(type, level))
        if kinds <= _PLAIN_SCALARS:
            return True
        if kinds == _LIST_ALONE:  # as the outermost level of many small values
            level = list(chain.from_iterable(level))
            continue
        if not all(issubclass(kind, _KINDS) for kind in kinds - _PLAIN_KINDS):
            return False
        lists = _those_of(list, level, kinds)
        dictionaries = _those_of(dict, level, kinds)
        keys = set(map(type, chain.from_iterable(dictionaries)))
        if not all(issubclass(kind, str) for kind in keys):
            return False
        level = list(chain.from_iterable(lists))
        level.extend(chain.from_iterable(map(dict.values, dictionaries)))
    return not level


def _those_of(kind: type[A], items: list[Any], kinds: set[type]) -> list[A]:
    """The items of a kind that are not empty."""
    if kinds == {kind}:
        return list(filter(None, items))
    if kinds <= _PLAIN_KINDS:
        return [item for item in items if type(item) is kind and item] if kind in kinds else []
    return [item for item in items if isinstance(item, kind) and item]


def _is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold the texts and numbers in some JSON text."""
    if "\\u0000" in text and _has_nul(text):
        return False
    if not text.isascii() and find_problem(text):
        return False
    # Where this process is configured to write integers of any length, they are looked for one by
    # one.
    return 0 < sys.get_int_max_str_digits() <= MAX_DIGITS or len(text) <= MAX_DIGITS


def _has_nul(text: str) -> bool:
    """Whether some JSON text has an escape of NUL: not after a backslash that is itself escaped."""
    before = text.split("\\u0000")[:-1]
    return any((len(part) - len(part.rstrip("\\"))) % 2 == 0 for part in before)


def _with_decimal_points(text: str) -> str:
    """Write out the numbers of some JSON text that have an exponent above zero.

    No others are floats that JSONB would keep as integers.
    """
    # The same with nothing escaped: what is left of the quotes begins and ends strings.
    plain = text.replace("\\\\", "--").replace('\\"', "--") if "\\" in text else text
    parts = []
    done = 0  # up to where, outside of any string
    while (at := plain.find("e+", done)) >= 0:
        end = plain.find('"', at)
        if plain.count('"', done, at) % 2:  # inside a string
            parts.append(text[done : end + 1])
            done = end + 1
            continue
        begin = max(done, plain.rfind('"', done, at))
        end = len(plain) if end < 0 else end
        parts.append(text[done:begin])
        parts += _written_out(text[begin:end])
        done = end
    parts.append(text[done:])
    return "".join(parts)


def _written_out(text: str) -> list[str]:
    parts = _EXPONENT.split(text)  # what is in front of an exponent, the exponent, …
    if "." not in text:
        parts[1::2] = map(_ENDINGS.__getitem__, parts[1::2])
        return parts
    for at in range(1, len(parts), 2):
        before, point, digits = parts[at - 1].rpartition(".")
        exponent = parts[at]
        if point and digits.isdigit():
            # A float is written with an exponent only where that is larger than its digits are
            # many.
            parts[at - 1] = before + digits
            exponent = str(int(exponent) - len(digits))
        parts[at] = _ENDINGS[exponent]
    return parts


def _refuse_unstorable(value: object) -> None:
    """Walk a value item by item, up to the first that cannot be stored.

    Raises:
        InvalidInputError: There is one; the message says where.
    """
    path: list[int | str] = []
    _refuse_item(value, path)
    open_ones = [_contents(value, path)]
    while open_ones:
        found = next(open_ones[-1], None)
        if found is None:
            open_ones.pop()
            del path[-1:]
            continue
        place, item = found
        path.append(place)
        _refuse_item(item, path)
        if isinstance(item, list | dict):
            open_ones.append(_contents(item, path))
        else:
            path.pop()


def _contents(value: object, path: list[int | str]) -> Iterator[tuple[int | str, object]]:
    """What is in a list or dictionary, with its place; nothing for what is neither."""
    if isinstance(value, list):
        yield from enumerate(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidInputError(
                    f"{_where(path)} has the key {quote(key)}: JSON keys are strings"
                )
            if problem := find_problem(key):
                raise InvalidInputError(f"the key {quote(key)} in {_where(path)} holds {problem}")
            yield key, item


def _refuse_item(item: object, path: list[int | str]) -> None:
    """Refuse what cannot be stored, apart from what is in it."""
    if len(path) > MAX_DEPTH:
        raise InvalidInputError(f"the value is nested deeper than {MAX_DEPTH} levels")
    if isinstance(item, str):
        if problem := find_problem(item):
            raise InvalidInputError(f"{_where(path)} holds {problem}")
    elif isinstance(item, int):
        # Python may be configured to write fewer digits, or more, which it then does not read.
        digits = min(MAX_DIGITS, sys.get_int_max_str_digits() or MAX_DIGITS)
        if item.bit_length() > 3 * digits and abs(item) >= 10**digits:
            raise InvalidInputError(f"{_where(path)} is an integer of more than {digits} digits")
    elif isinstance(item, float):
        if not math.isfinite(item):
            raise InvalidInputError(f"{_where(path)} is {item!r}, which JSON does not have")
    elif not isinstance(item, list | dict | None):
        raise InvalidTypeError(
            f"{_where(path)} is of type {type(item).__name__}, which JSON does not have"
        )


def _where(path: list[int | str]) -> str:
    steps = (f"[{step if isinstance(step, int) else quote(step)}]" for step in path)
    return "the value" + "".join(steps)


def with_lists(value: Any) -> Any:
    """A JSON value with lists in place of tuples, as JSON has none and AiiDA takes them."""
    if isinstance(value, dict):
        return {key: with_lists(one) for key, one in value.items()}
    return [*map(with_lists, value)] if isinstance(value, list | tuple) else value
