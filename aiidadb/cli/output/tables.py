"""Tables that fit the terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import click
from rich.cells import cell_len
from rich.text import Text

from aiidadb.cli.output.console import console, say, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

__all__ = ["table"]

_GAP: Final = 2  # between columns
_NARROW: Final = 16  # the width to which columns give way before those that are to stay whole
_LEAST: Final = 8  # columns are not made narrower than that
_PIECE: Final = re.compile(r"[^ |/.:,_-]*[ |/.:,_-]*")


def table(
    title: str | None,
    columns: Mapping[str, Literal["left", "right"]],
    rows: Iterable[Iterable[object]],
    *,
    indent: int = 0,
    whole: Collection[str] = (),
    headings: bool = True,
    empty: str | None = None,
) -> None:
    """Print a table: one row per line, except where cells are too long for the terminal.

    (rich's own tables take 0.6 ms a row; listings have 80,000.)

    Args:
        title: What it is of, if that is not said.
        columns: Heading to the side at which its cells stand.
        rows: The cells; None is empty.
        indent: How many blanks stand before each line.
        whole: Columns whose words are never cut. They give way last, and break behind such
            characters as ``|`` and ``_``; where not even that fits, each row is a paragraph.
        headings: Whether the columns' headings are shown.
        empty: What is said in the table's place where it has no rows; nothing if it is empty.
    """
    out = console()
    begin = " " * indent
    body = [tuple(visible(cell) for cell in row) for row in rows]
    if empty is not None and not body:
        if empty:
            say(f"{begin}{empty}")
        return
    sides = list(columns.values())
    cells = [tuple(columns), *body] if headings else body
    natural = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    least = {
        place: max(_LEAST, *map(_longest_piece, column)) if name in whole else _LEAST
        for place, (name, column) in enumerate(zip(columns, zip(*cells, strict=True), strict=True))
        if columns[name] == "left"
    }
    breaks = [
        _break_behind_separators if name in whole else _break_between_words for name in columns
    ]
    room = out.width - indent
    widths = _fit(natural, least, room)
    if title is not None:
        say(f"{begin}{title}", "bold")
    if whole and _total(widths) > room:
        lines = (line for row in body for line in _paragraph(tuple(columns), row, whole, room))
        click.echo("\n".join(begin + line for line in lines))
        return
    if headings:
        heading = _lines(tuple(columns), sides, widths, breaks)
        say("\n".join(begin + line for line in heading), "dim")
    if body:
        click.echo(
            "\n".join(begin + line for row in body for line in _lines(row, sides, widths, breaks))
        )


def _fit(natural: Sequence[int], least: Mapping[int, int], room: int) -> list[int]:
    """Widths that fit: the widest column gives way, as far as the next and its least width.

    Only columns that have a least width give way. Those that have a larger one do so after the
    others have become narrow, and before these become as narrow as can be.
    """
    widths = list(natural)
    others = [place for place, width in least.items() if width == _LEAST]
    rounds = [
        dict.fromkeys(others, _NARROW),
        {place: width for place, width in least.items() if width > _LEAST},
        dict.fromkeys(others, _LEAST),
    ]
    for floors in rounds:
        while (excess := _total(widths) - room) > 0:
            wide = [place for place, floor in floors.items() if widths[place] > floor]
            if not wide:
                break
            most = max(wide, key=lambda place: widths[place])
            next_width = max((widths[at] for at in wide if widths[at] < widths[most]), default=0)
            floor = max(next_width, floors[most])
            widths[most] = max(widths[most] - excess, min(floor, widths[most] - 1))
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _lines(
    row: Sequence[str],
    sides: Sequence[str],
    widths: Sequence[int],
    breaks: Sequence[Callable[[str, int], list[str]]],
) -> Iterator[str]:
    """The lines of one row: as many as its longest cell needs."""
    if all(_width(cell) <= width for cell, width in zip(row, widths, strict=True)):
        yield _line(row, sides, widths)
        return
    parts = [
        [cell] if _width(cell) <= width else break_up(cell, width)
        for cell, width, break_up in zip(row, widths, breaks, strict=True)
    ]
    for number in range(max(map(len, parts))):
        cells = [part[number] if number < len(part) else "" for part in parts]
        yield _line(cells, sides, widths)


def _paragraph(
    columns: Sequence[str], row: Sequence[str], whole: Collection[str], room: int
) -> Iterator[str]:
    """One row where columns do not fit: a line or more per cell, the first not indented."""
    for name, cell in zip(columns, row, strict=True):
        if name in whole:
            yield from _break_behind_separators(cell, room)
        elif cell:
            for line in _break_between_words(f"{name}: {cell}", max(room - _GAP, 1)):
                yield " " * _GAP + line


def _break_between_words(text: str, width: int) -> list[str]:
    return [line.plain.rstrip() for line in Text(text).wrap(console(), width)]


def _break_behind_separators(text: str, width: int) -> list[str]:
    """Lines that are wider only where a piece alone is."""
    lines = [""]
    for piece in _PIECE.findall(text):
        if lines[-1] and _width(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return lines


def _longest_piece(text: str) -> int:
    return max(map(_width, _PIECE.findall(text)))


def _line(cells: Sequence[str], sides: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for cell, side, width in zip(cells, sides, widths, strict=True):
        blank = " " * (width - _width(cell))
        padded.append(blank + cell if side == "right" else cell + blank)
    return (" " * _GAP).join(padded).rstrip()


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
