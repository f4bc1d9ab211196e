"""Errors of functions that a caller gives and asyncpg calls: they are the caller's, and pass."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["callers_own", "is_callers_own"]

_MARK: Final = "_is_callers_own_for_aiidadb"


@contextlib.contextmanager
def callers_own() -> Iterator[None]:
    """What is raised inside is the caller's own, also where it comes out of a call of asyncpg's."""
    try:
        yield
    except Exception as error:
        vars(error)[_MARK] = True
        raise


def is_callers_own(error: BaseException) -> bool:
    """Whether an error was raised inside :func:`callers_own`."""
    return _MARK in vars(error)
