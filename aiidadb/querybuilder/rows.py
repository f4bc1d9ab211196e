"""Rows as callers get them: lists, or dictionaries by tag, with records in place of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiidadb.turns import STEP, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncpg

    from aiidadb.querybuilder.compiling.compiled import Field
    from aiidadb.turns import Steps

__all__ = ["as_dicts", "as_lists", "in_steps"]

T = TypeVar("T")

_AT_ONCE: Final = STEP


def as_lists(rows: Sequence[asyncpg.Record], fields: Sequence[Field]) -> list[list[Any]]:
    """Rows as lists of what is projected."""
    if all(one.make is None for one in fields):
        width = len(fields)
        if rows and len(rows[0]) > width:  # with what says where the next page begins
            return [list(row[:width]) for row in rows]
        return [[row[0]] for row in rows] if width == 1 else list(map(list, rows))
    places = _places(fields)
    if len(places) == 1:  # a record alone, as most that are asked for
        make, end = fields[0].make, fields[0].width
        assert make is not None
        return [[None if row[0] is None else make(*row[:end])] for row in rows]
    return [
        [row[at] if make is None else _record(make, row[at:end]) for at, end, make, _ in places]
        for row in rows
    ]


def as_dicts(
    rows: Sequence[asyncpg.Record], fields: Sequence[Field]
) -> list[dict[str, dict[str, Any]]]:
    """Rows as dictionaries by tag and field."""
    tags = _by_tag(fields)
    if all(one.make is None for one in fields):
        plain = [(tag, tuple(place[3] for place in places), places) for tag, places in tags]
        return [
            {
                tag: dict(zip(keys, row[places[0][0] : places[-1][1]], strict=True))
                for tag, keys, places in plain
            }
            for row in rows
        ]
    return [
        {
            tag: {
                key: row[at] if make is None else _record(make, row[at:end])
                for at, end, make, key in places
            }
            for tag, places in tags
        }
        for row in rows
    ]


async def in_steps(
    make: Callable[[Sequence[asyncpg.Record], Sequence[Field]], list[T]],
    rows: list[asyncpg.Record],
    fields: Sequence[Field],
) -> list[T]:
    """Many rows by :func:`as_lists` or :func:`as_dicts`, with turns for others in between.

    Args:
        make: One of both.
        rows: The rows; the list is used up.
        fields: How they are cut.
    """
    if len(rows) <= _AT_ONCE:
        return make(rows, fields)
    return await in_turn(_steps(make, rows, fields))


def _steps(
    make: Callable[[Sequence[asyncpg.Record], Sequence[Field]], list[T]],
    rows: list[Any],
    fields: Sequence[Field],
) -> Steps[list[T]]:
    # In each other's place: both lists at the same time would be twice the memory, and as many more
    # objects for Python to look through again and again.
    for at in range(0, len(rows), _AT_ONCE):
        if at:
            yield
        rows[at : at + _AT_ONCE] = make(rows[at : at + _AT_ONCE], fields)
    return rows


_Place = tuple[int, int, "Callable[..., object] | None", str]
"""Where a field's columns begin and end, what makes a record of them, and its key."""


def _places(fields: Sequence[Field]) -> list[_Place]:
    found: list[_Place] = []
    at = 0
    for one in fields:
        found.append((at, at + one.width, one.make, one.key))
        at += one.width
    return found


def _by_tag(fields: Sequence[Field]) -> list[tuple[str, list[_Place]]]:
    """The places of each tag's fields, which stand together."""
    found: dict[str, list[_Place]] = {}
    for one, place in zip(fields, _places(fields), strict=True):
        found.setdefault(one.tag, []).append(place)
    return list(found.items())


def _record(make: Callable[..., object], columns: Sequence[Any]) -> object:
    """A record; None where an outer join found nothing, so that there is not even a pk."""
    return None if columns[0] is None else make(*columns)
