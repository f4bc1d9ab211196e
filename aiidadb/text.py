"""What a text may hold for PostgreSQL to store it."""

from __future__ import annotations

from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import quote

__all__ = ["find_problem", "require_text"]


def require_text(text: str, what: str, *, quoted: bool = False) -> str:
    """Refuse what PostgreSQL cannot hold in a text: NUL and lone surrogates.

    Args:
        text: The text.
        what: What it is; the message begins with it.
        quoted: Whether the message quotes the text as well.

    Raises:
        InvalidInputError: It holds one of them.
    """
    if problem := find_problem(text):
        shown = f"{what} {quote(text)}" if quoted else what
        raise InvalidInputError(f"{shown} holds {problem}")
    return text


def find_problem(text: str) -> str | None:
    """What a text holds that PostgreSQL cannot, in words; None where there is nothing."""
    # Not by methods of a subclass, which may say something else than what is sent.
    if str.__contains__(text, "\x00"):
        return "a NUL character, which PostgreSQL cannot store"
    try:
        str.encode(text)
    except UnicodeEncodeError:
        return "a lone surrogate, which is not Unicode text"
    return None
