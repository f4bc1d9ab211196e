"""Questions that somebody has to answer."""

from __future__ import annotations

import sys

import click

from aiidadb.exceptions import InvalidInputError

__all__ = ["agreed"]


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
