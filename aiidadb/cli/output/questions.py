"""Questions that somebody has to answer."""

from __future__ import annotations

import sys

from aiidadb.cli.output.console import echo
from aiidadb.exceptions import InvalidInputError

__all__ = ["agreed"]


def agreed(question: str) -> bool:
    """Ask for a yes on standard error; whatever is no yes is a no.

    Raises:
        InvalidInputError: Nobody is there to answer.
        KeyboardInterrupt: Ctrl-C.
    """
    echo(f"{question} [y/N] ", end="", stderr=True)
    answer = sys.stdin.readline()
    if not answer:
        echo(stderr=True)
        raise InvalidInputError("nothing was changed, as nobody answers: add --yes")
    return answer.strip().lower() in {"y", "yes"}
