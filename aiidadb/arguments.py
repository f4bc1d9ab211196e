"""What many calls take: switches, numbers, functions that receive progress, paths, and seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote

__all__ = [
    "LONGEST",
    "as_count",
    "as_flag",
    "as_limit",
    "as_whole_number",
    "find_path_problem",
    "require_function",
    "require_path",
    "require_wait",
]

LONGEST: Final = 100 * 365 * 86400.0
"""Seconds; timers of event loops overflow with far longer ones."""

_MOST: Final = 2**63 - 1
"""There are not more rows of anything."""


def as_flag(value: object, what: str) -> bool:
    """A switch, as True or False.

    Raises:
        InvalidTypeError: It is neither true nor false, as an array of several values.
    """
    try:
        return bool(value)
    except (TypeError, ValueError):
        raise InvalidTypeError(f"{what} must be True or False, not {quote(value)}") from None


def as_count(value: object, what: str) -> int:
    """A number of things, at least one.

    Raises:
        InvalidTypeError: It is not an integer; the message begins with ``what``.
        InvalidInputError: It is below 1.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value >= 1:
            return value
        error = InvalidInputError
    else:
        error = InvalidTypeError
    raise error(f"{what} must be a positive integer, not {quote(value)}")


def as_limit(value: object, what: str = "limit") -> int | None:
    """How many rows there are at most, as a 64-bit integer; None for all.

    Raises:
        InvalidTypeError: It is neither None nor an integer; the message begins with ``what``.
        InvalidInputError: It is below 1.
    """
    return None if value is None else min(as_count(value, what), _MOST)


def as_whole_number(value: object, what: str) -> int:
    """A whole number from 0.

    Raises:
        InvalidTypeError: It is not an integer; the message begins with ``what``.
        InvalidInputError: It is below 0.
    """
    message = f"{what} must be a whole number from 0, not {quote(value)}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(message)
    if value < 0:
        raise InvalidInputError(message)
    return value


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
    if problem := find_path_problem(text):
        raise InvalidInputError(f"{what} {quote(text)} is a path with {problem}")
    return Path(text)


def find_path_problem(text: str) -> str | None:
    """What a path holds that no file can have in its name, in words; None if there is nothing."""
    if "\0" in text:
        return "a NUL character"
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return "a lone surrogate, which is not Unicode text"
    return None


def require_wait(value: object, what: str) -> None:
    """Refuse what is not a number of seconds to wait, which may be 0.

    Raises:
        InvalidTypeError: It is not a number; the message begins with ``what``.
        InvalidInputError: It is below 0, too large, or not a number in the sense of floats.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidTypeError(f"{what} must be a number of seconds, not {quote(value)}")
    if not 0 <= value <= LONGEST:
        raise InvalidInputError(f"{what} must be a number of seconds from 0, not {quote(value)}")
