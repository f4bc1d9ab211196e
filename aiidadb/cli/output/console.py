"""Where to print, and text as it can be printed."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

__all__ = ["console", "paragraph", "plural", "say", "visible"]


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
