"""Signs on the terminal that something takes a while."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from aiidadb.cli.output.console import console

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["progress_bar", "working"]


def _on_terminal() -> bool:
    return sys.stderr.isatty() and sys.stdout.isatty()


@contextlib.contextmanager
def progress_bar(*, shown: bool = True) -> Iterator[Progress]:
    """A progress bar on standard error; none where that, or the output, is not a terminal.

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
    """A sign on the terminal that something takes a while; none where output is piped."""
    if what is None or not (shown and _on_terminal()):
        yield
        return
    with console(stderr=True).status(f"{what} …"):
        yield
