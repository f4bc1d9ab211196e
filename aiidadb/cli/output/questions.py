"""Questions that the user has to answer."""

from __future__ import annotations

import sys

from aiidadb.cli.output.console import echo, visible
from aiidadb.cli.signals import wait_for_input
from aiidadb.exceptions import InvalidInputError

__all__ = ["agreed"]


def agreed(question: str) -> bool:
    """Ask for a yes on standard error; anything else is a no.

    Raises:
        InvalidInputError: No answer can be read.
        KeyboardInterrupt: Ctrl-C.
    """
    echo(f"{visible(question)} [y/N] ", end="", stderr=True)
    wait_for_input(sys.stdin)
    answer = sys.stdin.readline()
    if not answer:
        echo(stderr=True)
        raise InvalidInputError("nothing was changed, because no answer could be read: add --yes")
    return answer.strip().lower() in {"y", "yes"}
