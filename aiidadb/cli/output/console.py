"""Where to print, and text that is safe to print."""

from __future__ import annotations

import sys
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from aiidadb.messages import escape_odd

__all__ = ["as_text", "console", "echo", "paragraph", "say", "visible"]

_LINE_FEED: Final = "\n"


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


def echo(text: str = "", *, end: str = "\n", stderr: bool = False) -> None:
    """Print lines as they are, whatever the terminal's width."""
    click.echo(f"{escape_odd(text, but=_LINE_FEED)}{end}", nl=False, err=stderr)


def say(text: str, style: str = "") -> None:
    """Print lines as they are, in a style where there are colours."""
    console().print(as_text(text, style), soft_wrap=True)


def paragraph(text: str, *, indent: int = 0) -> None:
    """Print a text, on a terminal in lines that break between words.

    Args:
        text: The text.
        indent: How many blanks stand before each line.
    """
    out = console()
    for line in as_text(text).wrap(out, max(out.width - indent, 1)):
        line.rstrip()
        out.print(Text(" " * indent) + line)


def as_text(text: str, style: str = "") -> Text:
    """Lines for :func:`console` to draw: what they contain cannot control the drawing."""
    return Text(escape_odd(text, but=_LINE_FEED), style=style)


def visible(text: object) -> str:
    """Text from a database, safe for a terminal and in one line; None is empty."""
    return "" if text is None else escape_odd(str(text))
