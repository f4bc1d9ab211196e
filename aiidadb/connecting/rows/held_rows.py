"""Rows of any query, with None in the cells that Python cannot hold.

Where one cell of a statement cannot be held, asyncpg raises for the whole of it; and an infinite
time arrives as the first or last of Python's times, without a time zone. So a query is run as
it is first, and only where one of these happened is it run again, in a form that leaves out what
cannot be held. What cannot be held is:

- times outside the years 1 to 9999, and infinite ones; ``24:00`` as a time of day;
- lengths of time of millions of years;
- JSON that is nested too deep, or has an integer of too many digits;
- an array with one of these in it.

Other types that are made of these, such as ranges and rows, stay an error.
"""

from __future__ import annotations

import datetime
from functools import partial
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final

from aiidadb.callers_own import is_callers_own
from aiidadb.connecting.opening.connection import leaving_out_unreadable_json
from aiidadb.exceptions import CorruptStorage, InvalidInputError
from aiidadb.turns import STEP, in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import asyncpg

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.turns import Steps

__all__ = ["FIRST_TIME", "LAST_TIME", "fetch_held"]

FIRST_TIME: Final = "'0001-01-01 00:00:00+00'::timestamptz"
LAST_TIME: Final = "'9999-12-31 23:59:59.999999+00'::timestamptz"
"""SQL for the first and the last time that Python can hold.

Not as parameters: asyncpg sends these two as the infinite ones.
"""

# By type: whether Python can hold a value.
_IS_HELD: Final[Mapping[str, str]] = {
    "timestamptz": f"{{}} between {FIRST_TIME} and {LAST_TIME}",
    "timestamp": "{} between '0001-01-01'::timestamp and '9999-12-31 23:59:59.999999'::timestamp",
    "date": "{} between '0001-01-01'::date and '9999-12-31'::date",
    "time": "{} < '24:00'::time",
    "timetz": "extract(hour from {}) < 24",
    "interval": "{} between '-2700000 years'::interval and '2700000 years'::interval",
}

# What infinite times and days arrive as.
_ENDS: Final = (
    datetime.datetime.min, datetime.datetime.max, datetime.date.min, datetime.date.max,
)  # fmt: skip

_ROWS_AT_ONCE: Final = 16 * STEP  # looking at one costs far less than making it

_time_zone: Final = attrgetter("tzinfo")


async def fetch_held(
    session: Session, text: str, values: Sequence[object], name: str = ""
) -> list[asyncpg.Record]:
    """Run a query that selects, and return its rows.

    Args:
        session: Where to run it.
        text: The statement, with ``$n`` for values, each of which is cast.
        values: The values.
        name: What to call it where it is slow.

    Raises:
        CorruptStorage: A value cannot be held, nor left out.
        DatabaseError: As :meth:`Session.fetch`.
    """
    try:
        rows = await session.fetch(text, *values, name=name)
    except (CorruptStorage, RecursionError, ValueError) as error:
        if isinstance(error, InvalidInputError) or is_callers_own(error):
            raise
    else:
        if not await in_turn(_has_infinite_time(rows)):
            return rows
    return await session.run(partial(_fetch_again, text, values), name)


async def _fetch_again(
    text: str, values: Sequence[object], connection: asyncpg.Connection
) -> list[asyncpg.Record]:
    statement = await connection.prepare(text, name="")
    columns = statement.get_attributes()
    selected = [
        f"{_where_held(f'asked.c{number}', column.type)} as {_quoted(column.name)}"
        for number, column in enumerate(columns)
    ]
    names = ", ".join(f"c{number}" for number in range(len(columns)))
    again = f"select {', '.join(selected)} from ({text}) as asked ({names})"  # noqa: S608 - names from here
    with leaving_out_unreadable_json(connection):
        rows: list[asyncpg.Record] = await connection.fetch(again, *values)
    return rows


def _where_held(cell: str, kind: asyncpg.Type) -> str:
    """SQL for a cell where Python can hold it, else null."""
    condition = _IS_HELD.get(kind.name.removesuffix("[]"))
    if condition is None or kind.schema != "pg_catalog":
        return cell
    if kind.kind != "array":
        return f"case when {condition.format(cell)} then {cell} end"
    odd_ones = f"select from unnest({cell}) as one (item) where not ({condition.format('item')})"
    return f"case when not exists ({odd_ones}) then {cell} end"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _has_infinite_time(rows: Sequence[asyncpg.Record]) -> Steps[bool]:
    """Whether some cell is a time that may have been infinite on the server."""
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        if at:
            yield
        some = rows[at : at + _ROWS_AT_ONCE]
        for place, cell in enumerate(some[0]):
            if cell is None:  # the type of the column is seen further down
                cell = next(_column(some, place), None)
            if isinstance(cell, datetime.date | list) and _may_be_infinite(some, place, cell):
                return True
    return False


def _column(rows: Sequence[asyncpg.Record], place: int) -> Iterator[Any]:
    """The cells of a column except those without a value."""
    return filter(None, map(itemgetter(place), rows))


def _may_be_infinite(
    rows: Sequence[asyncpg.Record], place: int, cell: datetime.date | list[object]
) -> bool:
    """Whether a cell of a column, of which one is given, may have been infinite."""
    if isinstance(cell, list):
        one = next(filter(None, cell), None)
        if not isinstance(one, datetime.date):
            return False
        times = [time for array in _column(rows, place) for time in array if time is not None]
        return any(end in times for end in _ENDS)
    if isinstance(cell, datetime.datetime) and None not in set(
        map(_time_zone, _column(rows, place))
    ):
        return False
    times = list(_column(rows, place))
    return any(end in times for end in _ENDS)
