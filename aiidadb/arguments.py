"""What many calls take: functions to be told of progress, paths, and seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote

__all__ = ["LONGEST", "require_function", "require_path", "require_wait"]

LONGEST: Final = 100 * 365 * 86400.0
"""Seconds; timers of event loops overflow with far longer ones."""


def require_function(value: object, what: str) -> None:
    """Refuse what cannot be called; None can be given in its place.

    Raises:
        InvalidTypeError: It cannot be called; the message begins with ``what``.
    """
    if value is not None and not callable(value):
        raise InvalidTypeError(f"{what} must be a function, not {quote(value)}")


def require_path(value: object, what: str) -> Path:
    """A path, as it was given.

    Raises:
        InvalidTypeError: It is not a path, or one of bytes; the message begins with ``what``.
        InvalidInputError: No file can have it for its path.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InvalidTypeError(f"{what} must be a path, not {quote(value)}")
    if "\0" in text:
        raise InvalidInputError(f"{what} {quote(text)} is a path with a NUL character")
    return Path(text)


def require_wait(value: object, what: str) -> None:
    """Refuse what is no number of seconds to wait, which may be 0.

    Raises:
        InvalidTypeError: It is not a number; the message begins with ``what``.
        InvalidInputError: It is below 0, too large, or not a number in the sense of floats.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidTypeError(f"{what} must be a number of seconds, not {quote(value)}")
    if not 0 <= value <= LONGEST:
        raise InvalidInputError(f"{what} must be a number of seconds from 0, not {quote(value)}")
