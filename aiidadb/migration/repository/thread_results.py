"""Waiting for what a thread of a pool gives, so that the wait can be given up."""

from __future__ import annotations

from concurrent.futures import wait
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

__all__ = ["result_of"]

T = TypeVar("T")

_ASKED_EVERY: Final = 0.1  # seconds


def result_of(working: Future[T], interrupted: Callable[[], None]) -> T:
    """What a thread gives, once it has ended. Blocks.

    Args:
        working: What the thread does.
        interrupted: Called while waiting; raises when the work is to be given up.
    """
    while not working.done() and not wait((working,), timeout=_ASKED_EVERY).done:
        interrupted()
    return working.result()
