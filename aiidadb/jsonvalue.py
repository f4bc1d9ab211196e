"""Python values as JSON text that PostgreSQL's JSONB gives back equal.

JSONB keeps numbers as decimals: ``1e300`` comes back as an integer of 301 digits, which Python does
not find equal. Floats are therefore written out with a decimal point, which JSONB keeps.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Final, TypeAlias

from aiidadb.exceptions import InvalidInputError
from aiidadb.text import require_text

__all__ = ["JsonValue", "encode_json"]

JsonValue: TypeAlias = "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"
"""What JSON can hold, as Python has it. NaN and infinities are refused when they are stored."""

MAX_DEPTH: Final = 300
MAX_DIGITS: Final = 4300  # Python itself reads no longer integers


def encode_json(value: JsonValue) -> str:
    """The JSON text of a value, to be cast to ``jsonb`` by the server.

    Args:
        value: None, a boolean, number or string, or lists and dictionaries of these, up to 300
            levels deep.

    Returns:
        JSON text; what JSONB makes of it is read back equal to the value.

    Raises:
        InvalidInputError: JSON or PostgreSQL cannot hold the value: NaN, infinities, NUL
            characters, lone surrogates, keys that are no strings, tuples, sets, other objects. The
            message says where in the value.
    """
    return _encode(value, "the value", 0)


def _encode(value: object, where: str, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise InvalidInputError(f"the value is nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(require_text(value, where), ensure_ascii=False)
    if isinstance(value, int):
        return _encode_int(value, where)
    if isinstance(value, float):
        return _encode_float(value, where)
    if isinstance(value, list):
        items = (_encode(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value))
        return f"[{','.join(items)}]"
    if isinstance(value, dict):
        pairs = (_encode_pair(key, item, where, depth) for key, item in value.items())
        return f"{{{','.join(pairs)}}}"
    raise InvalidInputError(f"{where} is of type {type(value).__name__}, which JSON does not have")


def _encode_pair(key: object, item: object, where: str, depth: int) -> str:
    if not isinstance(key, str):
        raise InvalidInputError(f"{where} has the key {key!r}: keys of JSON are strings")
    require_text(key, f"the key {key!r} in {where}")
    return f"{json.dumps(key, ensure_ascii=False)}:{_encode(item, f'{where}[{key!r}]', depth + 1)}"


def _encode_int(value: int, where: str) -> str:
    if abs(value) >= 10**MAX_DIGITS:
        raise InvalidInputError(f"{where} is an integer of more than {MAX_DIGITS} digits")
    return int.__repr__(value)


def _encode_float(value: float, where: str) -> str:
    if not math.isfinite(value):
        raise InvalidInputError(f"{where} is {value!r}, which JSON does not have")
    text = format(Decimal(float.__repr__(value)), "f")
    return text if "." in text else f"{text}.0"
