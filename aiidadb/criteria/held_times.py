"""Times that Python can hold, and those that it cannot.

PostgreSQL's times go from 4713 BC to the year 294276, and there are two that are infinite. Python's
go from the year 1 to 9999. Where asyncpg meets another, it raises ``OverflowError`` for the whole
statement, or gives the first or last of Python's times, without a time zone, for one that is
infinite. So listings ask for a time only where Python can hold it, and for the others as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pypika.terms import AtTimezone, Case, Function, LiteralValue, Not

from aiidadb.connecting.rows.held_rows import FIRST_TIME, LAST_TIME

if TYPE_CHECKING:
    from pypika.terms import BetweenCriterion, Field

__all__ = ["held_time", "odd_time", "odd_time_of", "problem_of_time"]

_REASON: Final = "Python's times are from the year 1 to 9999"
_TIME_TEXT: Final = r"-?infinity|\d+-\d\d-\d\d [\d:.]+(?: BC)?"


def held_time(column: Field) -> Case:
    """A time where Python can hold it, else null."""
    return Case().when(_is_held(column), column)


def odd_time(column: Field) -> Case:
    """As a JSON string, a time in UTC that Python cannot hold; null where it can.

    Such as ``0044-03-15T12:00:00 BC``, ``12026-01-01T00:00:00`` or ``-infinity``; as JSON, since
    text would depend on the session's ``DateStyle``.
    """
    in_utc = AtTimezone(column, "UTC")  # type: ignore[no-untyped-call]
    return Case().when(Not(_is_held(column)), Function("to_json", in_utc))


def problem_of_time(name: str, text: str) -> str:
    """What :func:`odd_time` gave, in words that begin with the column's name and the time."""
    return f"{name} {text.replace('T', ' ')}: {_REASON}"


def odd_time_of(problem: str | None) -> str:
    """The time in what :func:`problem_of_time` gave, alone or with others; else nothing."""
    found = _ODD_TIME.search(problem or "")
    return found[1] if found else ""


_ODD_TIME: Final = re.compile(rf"({_TIME_TEXT}): {_REASON}")


def _is_held(column: Field) -> BetweenCriterion:
    return column.between(LiteralValue(FIRST_TIME), LiteralValue(LAST_TIME))
