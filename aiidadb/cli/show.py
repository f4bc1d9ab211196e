"""How answers look: tables, bars and JSON; colours and progress on terminals only."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["bar", "console", "echo_json", "progress_bar", "table", "working"]

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def console(*, stderr: bool = False) -> Console:
    """Where to draw; as wide as the terminal, 80 columns where there is none."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 80
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def echo_json(value: object) -> None:
    """Print a value as JSON: data classes as objects, times in ISO 8601, paths as strings."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def table(title: str, columns: Mapping[str, str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table.

    Args:
        title: What it is of.
        columns: Heading to ``left`` or ``right``.
        rows: The cells; None is empty.
    """
    drawn = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading, justify in columns.items():
        drawn.add_column(
            heading,
            justify="right" if justify == "right" else "left",
            overflow="fold",
            no_wrap=justify == "right",
        )
    for row in rows:
        drawn.add_row(*("" if cell is None else str(cell) for cell in row))
    console().print(drawn)


def bar(value: float, largest: float, width: int) -> str:
    """A horizontal bar in eighths of a character; something above nothing is never nothing."""
    if value <= 0 or largest <= 0:
        return ""
    eighths = max(1, round(8 * width * value / largest))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


@contextlib.contextmanager
def progress_bar(*, shown: bool = True) -> Iterator[Progress]:
    """A progress bar on standard error; none where that, or the output, is no terminal."""
    visible = shown and sys.stderr.isatty() and sys.stdout.isatty()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not visible,
    ) as progress:
        yield progress


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """A sign on the terminal that something takes its time; none where output is piped."""
    if not (sys.stderr.isatty() and sys.stdout.isatty()):
        yield
        return
    with console(stderr=True).status(f"{what} …"):
        yield


def _plain(value: Any) -> object:
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
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)
