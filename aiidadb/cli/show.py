"""How answers look: tables, bars and JSON; colours and progress on terminals only."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from aiidadb.exceptions import InvalidInputError
from aiidadb.version.schema_version import SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "agreed",
    "bar",
    "console",
    "echo_json",
    "paragraph",
    "plural",
    "progress_bar",
    "say",
    "table",
    "visible",
    "working",
]

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_GAP: Final = 2  # between columns
_LEAST: Final = 8  # columns are not made narrower than that


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to those who end the process."""
        raise  # it is called where that was caught


def console(*, stderr: bool = False) -> Console:
    """Where to draw. As wide as the terminal; where there is none, nothing is wrapped."""
    stream = sys.stderr if stderr else sys.stdout
    return _Console(
        stderr=stderr,
        width=None if stream.isatty() else 10_000,
        highlight=False,
        markup=False,  # what comes from the database is text, whatever brackets it has
        emoji=False,
    )


def say(text: str, style: str = "") -> None:
    """Print lines as they are, in a style where there are colours."""
    console().print(Text(text, style=style), soft_wrap=True)


def paragraph(text: str) -> None:
    """Print a text, on a terminal in lines that break between words."""
    console().print(Text(text))


def plural(number: int, noun: str) -> str:
    """``1 node``, ``140,000 nodes``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def visible(text: object) -> str:
    """Text from a database, safe for a terminal and in one line; None is empty."""
    shown = "" if text is None else str(text)
    if shown.isprintable():
        return shown
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown
    )


def echo_json(value: object) -> None:
    """Print a value as JSON: data classes as objects, times in ISO 8601, paths as strings."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=not is_utf8))


def table(
    title: str | None,
    columns: Mapping[str, Literal["left", "right"]],
    rows: Iterable[Iterable[object]],
    *,
    indent: int = 0,
) -> None:
    """Print a table: a row a line, but for cells that are too long for the terminal.

    (rich's own tables take 0.6 ms a row; listings have 80,000.)

    Args:
        title: What it is of, if that is not said.
        columns: Heading to the side at which its cells stand.
        rows: The cells; None is empty.
        indent: How many blanks stand before each line.
    """
    out = console()
    begin = " " * indent
    body = [tuple(visible(cell) for cell in row) for row in rows]
    sides = list(columns.values())
    natural = [
        max((_width(cell) for cell in column), default=0)
        for column in zip(tuple(columns), *body, strict=True)
    ]
    widths = _fit(natural, sides, out.width - indent)
    if title is not None:
        say(f"{begin}{title}", "bold")
    say("\n".join(begin + line for line in _lines(tuple(columns), sides, widths, out)), "dim")
    if body:
        lines = (begin + line for row in body for line in _lines(row, sides, widths, out))
        click.echo("\n".join(lines))


def _fit(natural: Sequence[int], sides: Sequence[str], room: int) -> list[int]:
    """Widths that fit: the widest of the left-aligned columns give way, one at a time."""
    widths = list(natural)
    while (excess := sum(widths) + _GAP * (len(widths) - 1) - room) > 0:
        left = [place for place, side in enumerate(sides) if side == "left"]
        most = max(left, key=lambda place: widths[place], default=None)
        if most is None or widths[most] <= _LEAST:
            break  # too narrow a terminal: it wraps the lines itself
        others = [widths[place] for place in left if widths[place] < widths[most]]
        floor = max(max(others, default=0), _LEAST)
        widths[most] = max(widths[most] - excess, min(floor, widths[most] - 1))
    return widths


def _lines(
    row: Sequence[str], sides: Sequence[str], widths: Sequence[int], out: Console
) -> Iterator[str]:
    """The lines of one row: as many as its longest cell needs."""
    if all(_width(cell) <= width for cell, width in zip(row, widths, strict=True)):
        yield _line(row, sides, widths)
        return
    parts = [
        [cell]
        if _width(cell) <= width
        else [line.plain.rstrip() for line in Text(cell).wrap(out, width)]
        for cell, width in zip(row, widths, strict=True)
    ]
    for number in range(max(map(len, parts))):
        cells = [part[number] if number < len(part) else "" for part in parts]
        yield _line(cells, sides, widths)


def _line(cells: Sequence[str], sides: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for cell, side, width in zip(cells, sides, widths, strict=True):
        blank = " " * (width - _width(cell))
        padded.append(blank + cell if side == "right" else cell + blank)
    return (" " * _GAP).join(padded).rstrip()


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def bar(value: float, largest: float, width: int) -> str:
    """A horizontal bar in eighths of a character; something above nothing is never nothing."""
    if value <= 0 or largest <= 0:
        return ""
    if not _draws_blocks():
        return "#" * max(1, round(width * value / largest))
    eighths = max(1, round(8 * width * value / largest))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _draws_blocks() -> bool:
    try:
        _EIGHTHS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def agreed(question: str) -> bool:
    """Ask for a yes on standard error; whatever is no yes is a no.

    Raises:
        InvalidInputError: Nobody is there to answer.
        KeyboardInterrupt: Ctrl-C.
    """
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        click.echo(err=True)
        raise InvalidInputError("nothing was changed, as nobody answers: add --yes")
    return answer.strip().lower() in {"y", "yes"}


def _on_terminal() -> bool:
    return sys.stderr.isatty() and sys.stdout.isatty()


@contextlib.contextmanager
def progress_bar(*, shown: bool = True) -> Iterator[Progress]:
    """A progress bar on standard error; none where that, or the output, is no terminal.

    Tasks have a field ``count``, which stands behind the bar.
    """
    visible = shown and _on_terminal()
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=14),
        TextColumn("{task.fields[count]}", markup=False),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not visible,
    )
    # Older rich ends even a bar that is disabled with an empty line.
    with progress if visible else contextlib.nullcontext():
        yield progress


@contextlib.contextmanager
def working(what: str | None, *, shown: bool = True) -> Iterator[None]:
    """A sign on the terminal that something takes its time; none where output is piped."""
    if what is None or not (shown and _on_terminal()):
        yield
        return
    with console(stderr=True).status(f"{what} …"):
        yield


def _plain(value: Any) -> object:
    if isinstance(value, SchemaVersion | Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has none; JSONB holds 1e400, which Python reads as one
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)
