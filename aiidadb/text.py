"""What a text may hold for PostgreSQL to store it."""

from __future__ import annotations

from aiidadb.exceptions import InvalidInputError

__all__ = ["require_text"]


def require_text(text: str, what: str) -> str:
    """Refuse what PostgreSQL cannot hold in a text: NUL and lone surrogates.

    Raises:
        InvalidInputError: It holds one of them; the message begins with ``what``.
    """
    if "\x00" in text:
        raise InvalidInputError(f"{what} holds a NUL character, which PostgreSQL cannot store")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(
            f"{what} holds a lone surrogate, which is no Unicode text"
        ) from None
    return text
