"""JSON values of every kind, and when two of them are the same."""

from __future__ import annotations

import hypothesis.strategies as st

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)

TOO_DEEP = "[" * 12_000 + "]" * 12_000
"""A JSON text that PostgreSQL can hold, and no Python can read: 3.13 goes down to some 10,000."""

TOO_LONG = "9" * 5001
"""A JSON text with more digits than Python reads."""


def same(one: object, other: object) -> bool:
    """Equal, and of equal types all the way down: 3.0 is not 3."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
