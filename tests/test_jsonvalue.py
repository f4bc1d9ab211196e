"""JSON text for the server: of the same value, whatever that is, or an error that says where."""

from __future__ import annotations

import collections
import enum
import json
import math
import sys
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import hypothesis
import hypothesis.strategies as st
import pytest

from aiidadb.exceptions import CorruptStorage, InvalidInputError
from aiidadb.jsonvalue import MAX_DEPTH, MAX_DIGITS, decode_json, encode_json, is_small, read_json
from aiidadb.messages import quote
from aiidadb.text import require_text
from tests.helpers.hostile import Hollow
from tests.helpers.json_values import JSON, TEXT, TOO_DEEP, TOO_LONG, same

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.quick

# ---------------------------------------------------------------- the same, one item at a time


def encode_item_by_item(value: object, where: str = "the value", depth: int = 0) -> str:
    """What ``encode_json`` gives, in the plainest way: the oracle."""
    if depth > MAX_DEPTH:
        raise InvalidInputError(f"the value is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        items = (
            encode_item_by_item(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)
        )
        return f"[{','.join(items)}]"
    if isinstance(value, dict):
        pairs = []
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidInputError(f"{where} has the key {quote(key)}: JSON keys are strings")
            require_text(key, f"the key {quote(key)} in {where}")
            text = encode_item_by_item(item, f"{where}[{quote(key)}]", depth + 1)
            pairs.append(f"{json.dumps(key, ensure_ascii=False)}:{text}")
        return f"{{{','.join(pairs)}}}"
    return encode_scalar(value, where)


def encode_scalar(value: object, where: str) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(require_text(value, where), ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) >= 10**MAX_DIGITS:
            raise InvalidInputError(f"{where} is an integer of more than {MAX_DIGITS} digits")
        return int.__repr__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{where} is {value!r}, which JSON does not have")
        text = format(Decimal(float.__repr__(value)), "f")
        return text if "." in text else f"{text}.0"
    raise InvalidInputError(f"{where} is of type {type(value).__name__}, which JSON does not have")


def outcome(encode: Callable[[object], str], value: object) -> object:
    try:
        return json.loads(encode(value), parse_float=Decimal)
    except InvalidInputError as error:
        return str(error)


class Colour(enum.IntEnum):
    RED = 1


class Label(str):
    __slots__ = ()


class Row(dict):  # type: ignore[type-arg]
    pass


LARGE = st.floats(1e15, 1e308) | st.floats(-1e308, -1e15)
TRICKY = st.sampled_from(
    [
        *("1e+16", ',1e+16,"', '\\"1e+20', "\\u0000", "\\\\u0000", "\x00", "a\\\x00", "\ud800"),
        *("[{", '"', "\\", "e+", "\x01", "\x7f", "\u2028", "𝄞"),
        *(math.nan, math.inf, -math.inf, -0.0, 1e16, -1e22, 5e-324, sys.float_info.max),
        *(
            (),
            (1,),
            {1},
            b"x",
            Decimal(1),
            object,
            Colour.RED,
            Label("1e+16"),
            Row(a=1),
            Row({1: 2}),
        ),
        collections.OrderedDict(a=[1]),
    ]
)
LONG = st.integers(MAX_DIGITS - 1, MAX_DIGITS + 1).map(lambda digits: -(10**digits))
KEYS = TEXT | st.sampled_from(["\x00", "\udfff", "1e+16", Label("k"), 1, 1.5, None, True, (1,)])
ANYTHING = st.recursive(
    JSON | LARGE | LONG | TRICKY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)

pytestmark = pytest.mark.quick


@hypothesis.given(JSON)
def test_the_text_is_json_of_the_same_value(value):
    assert same(json.loads(encode_json(value)), value)


@hypothesis.given(ANYTHING)
def test_whole_values_at_once_are_written_and_refused_as_item_by_item(value):
    assert outcome(encode_json, value) == outcome(encode_item_by_item, value)


@hypothesis.given(st.lists(LARGE | TEXT, max_size=20))
def test_floats_are_written_with_a_decimal_point(values):
    # As JSONB reads numbers: those without one are integers.
    read = json.loads(encode_json(values), parse_float=lambda text: float(Decimal(text)))
    assert same(read, values)


@pytest.mark.parametrize("before", ["", "a", "\\", "\\" * 2, "\\u0000", "u0000"])
def test_a_nul_is_told_from_its_escape_wherever_it_stands(before):
    assert json.loads(encode_json(f"{before}\\u0000")) == f"{before}\\u0000"
    with pytest.raises(InvalidInputError, match="NUL"):
        encode_json(f"{before}\x00")
    with pytest.raises(InvalidInputError, match="NUL"):
        encode_json(f"\\u0000{before}\\\x00")


def test_a_value_is_small_by_all_that_is_in_it():
    assert all(map(is_small, (None, True, -1, 0.5, "a" * 900, [[]] * 300, {"a": {"b": [1, "c"]}})))
    assert not any(map(is_small, ("a" * 1001, [[]] * 1001, {"a" * 1001: 1}, [["a" * 600] * 2])))
    assert not any(map(is_small, (1 << 10_000, (), {1: 2, (): 3}, object(), Hollow(a=1))))
    itself: list[object] = []
    itself.append(itself)
    assert not is_small(itself)


# ---------------------------------------------------------------- depth


def nested(depth: int, kind: type) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


def at_depth(frames: int, call: Callable[[], object]) -> object:
    return call() if frames == 0 else at_depth(frames - 1, call)


def frames_now() -> int:
    count, frame = 0, sys._getframe()
    while frame is not None:
        count, frame = count + 1, frame.f_back
    return count


@pytest.mark.parametrize("kind", [list, dict])
def test_300_levels_are_written_and_read_however_deep_the_caller_is(kind):
    value = nested(MAX_DEPTH, kind)
    for left in (900, 500, 200, 100):
        frames = max(sys.getrecursionlimit() - frames_now() - left, 0)
        text = at_depth(frames, partial(encode_json, value))
        read = at_depth(frames, partial(decode_json, text))
        assert encode_json(read) == text


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 990, 5000, 100_000])
def test_what_is_nested_deeper_is_refused(kind, depth):
    with pytest.raises(InvalidInputError, match="deeper than 300 levels"):
        encode_json(nested(depth, kind))


def test_what_contains_itself_is_refused():
    value: list[object] = []
    value.extend([value, value])
    with pytest.raises(InvalidInputError, match="deeper than 300 levels"):
        encode_json(value)


# ---------------------------------------------------------------- long integers


def test_an_integer_that_is_too_long_is_told_with_its_place():
    with pytest.raises(InvalidInputError, match=r"^the value\['a'\]\[1\] is an integer of more"):
        encode_json({"a": [0, 10**MAX_DIGITS]})
    assert encode_json([10**MAX_DIGITS - 1]) == f"[{'9' * MAX_DIGITS}]"


@pytest.mark.parametrize(("limit", "digits"), [(0, MAX_DIGITS), (640, 640), (10_000, MAX_DIGITS)])
def test_it_does_not_depend_on_how_long_integers_this_process_writes(limit, digits):
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(limit)
    try:
        with pytest.raises(InvalidInputError, match=f"more than {digits} digits"):
            encode_json(["x" * MAX_DIGITS, 10**digits])
        assert encode_json([10 ** (digits - 1)]) == f"[1{'0' * (digits - 1)}]"
    finally:
        sys.set_int_max_str_digits(before)


# ---------------------------------------------------------------- what Python cannot read


@hypothesis.given(JSON)
def test_what_python_can_read_has_no_problem(value: object) -> None:
    found, problem = read_json(json.dumps(value))
    assert same(found, value)
    assert problem is None


@pytest.mark.parametrize(
    ("text", "found", "problem"),
    [
        pytest.param(TOO_DEEP, None, "is nested deeper than Python can read", id="deep"),
        pytest.param(TOO_LONG, math.inf, "holds an integer of more than 4300 digits", id="long"),
        pytest.param(
            f"[7, -{TOO_LONG}, 1e400]",
            [7, -math.inf, math.inf],
            "holds an integer of more than 4300 digits",
            id="long inside",
        ),
        pytest.param("{", None, "Python cannot read: Expecting property name", id="cut off"),
    ],
)
def test_what_python_cannot_read_is_told_and_the_rest_is_read(
    text: str, found: object, problem: str
) -> None:
    value, why = read_json(text)
    assert value == found
    assert why is not None
    assert why.startswith(problem)
    with pytest.raises(CorruptStorage, match="the database holds a JSON value that"):
        decode_json(text)
