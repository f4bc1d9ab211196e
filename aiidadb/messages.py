"""How an error message shows what the caller gave: short, on one line, without passwords."""

from __future__ import annotations

import difflib
import re
import reprlib
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "MOST_CHARACTERS",
    "Secret",
    "closest",
    "cut",
    "did_you_mean",
    "escape_odd",
    "list_first",
    "plural",
    "printable",
    "quote",
    "shorten",
    "show",
    "suggest",
]

MOST_CHARACTERS: Final = 500
"""How long a message can be, whatever was given."""

_MOST_QUOTED: Final = 100
_CUT: Final = "…"

# What stands between the user and the host of a URI. A password that is not percent-encoded may
# hold any character, so all up to the last "@" is assumed to be it.
_PASSWORD: Final = re.compile(r"(://[^:/?#@]*):.*@", re.DOTALL)
# The same inside a message, where it ends with the word.
_PASSWORD_IN_TEXT: Final = re.compile(r"(:/{1,2}[^:/?#@\s]*):\S*@")
# libpq's form of the same, and the query of a URI.
_PASSWORD_KEY: Final = re.compile(r"((?:ssl)?password\s*=)\s*[^&]*", re.IGNORECASE | re.DOTALL)


class Secret(str):
    """A text that its ``repr``, which tracebacks show, does not reveal."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(_CUT)


class _Quoting(reprlib.Repr):
    """``repr``, but short, and of every object."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = self.maxlong = _MOST_QUOTED
        self.fillvalue = _CUT

    def repr_str(self, x: str, level: int) -> str:  # noqa: ARG002 - reprlib's signature
        # What is looked at is bounded as well: it may be a megabyte. A password that begins in
        # front of the cut can end behind it, so more is looked at than is shown,
        # and what is cut off is assumed to be its end.
        seen = x[: 20 * _MOST_QUOTED]
        if len(seen) < len(x):
            seen += "@"
        return repr(shorten(without_password(seen), _MOST_QUOTED))

    def repr_instance(self, x: object, level: int) -> str:
        text = super().repr_instance(x, level)
        return text if text.isprintable() else repr(text)[1:-1]


_QUOTING: Final = _Quoting()


def quote(value: object) -> str:
    """A value for a message: its ``repr``, shortened, and without the password of a URI.

    Args:
        value: Anything: also what is very long or deep, or whose own ``repr`` fails.

    Returns:
        One line of little more than a hundred characters at most.
    """
    if type(value) is str and len(value) <= _MOST_QUOTED and "@" not in value and "=" not in value:
        return repr(value)
    try:
        text = _QUOTING.repr_str(value, 0) if isinstance(value, str) else _QUOTING.repr(value)
    except Exception:  # whatever the object's own methods raise
        text = f"<{type(value).__name__}>"
    return shorten(text, 2 * _MOST_QUOTED)


def show(value: object) -> str:
    """A value for a message as its ``str``, such as the SQL of a criterion, shortened."""
    try:
        text = str(value)
    except Exception:
        return quote(value)
    return shorten(without_password(text), 2 * _MOST_QUOTED)


def closest(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of some names that is most similar to another; None where none is similar.

    Args:
        name: What was given.
        known: The names that there are.
        cutoff: How similar it must be, as for :func:`difflib.get_close_matches`.
    """
    if not isinstance(name, str) or len(name) > _MOST_QUOTED:
        return None
    similar = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return similar[0] if similar else None


def did_you_mean(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """What may have been meant by a name that is not known; takes what :func:`closest` does.

    Returns:
        Such as ``did you mean 'label'?``; empty where none of the names is similar.
    """
    meant = closest(name, known, cutoff=cutoff)
    return "" if meant is None else suggest(str(name), meant)


def suggest(given: str, meant: str) -> str:
    """A question whether something else was meant, which shows a final dot that is easily missed.

    Args:
        given: What was given.
        meant: What was meant.
    """
    dot = " (with the final dot)" if meant == f"{given}." else ""
    return f"did you mean {quote(meant)}{dot}?"


def list_first(items: Sequence[object], count: int | None = None, most: int = 10) -> str:
    """The first of some things, and how many more there are: ``3, 5 and 20 more``.

    Args:
        items: The things, or the first of them.
        count: How many there are, if these are not all.
        most: How many are listed.
    """
    more = (len(items) if count is None else count) - len(items[:most])
    shown = ", ".join(map(str, items[:most]))
    return f"{shown} and {more:,} more" if more else shown


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def plural(number: float, noun: str) -> str:
    """``1 node``, ``140,000 nodes``, ``0.5 seconds``."""
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """A message that can go to a terminal, a log or a file, and that shows no URI's password.

    Tabs and line feeds, which messages of the server have, are left as they are.
    """
    if "@" in text:
        text = _PASSWORD_IN_TEXT.sub(rf"\1:{_CUT}@", text)
    return escape_odd(text, but="\t\n")


def escape_odd(text: str, *, but: str = "", by: Callable[[str], str] = _escape) -> str:
    r"""A text with an escape, such as ``\u202e``, for each character that is not simply shown.

    Those are the characters that control a terminal (C0 and C1), begin a line, turn the direction
    of what is read, have no width or no meaning, and what can be written to no file: of Unicode all
    of the categories C (Cc, Cf, Cs, Co, Cn), Zl and Zp. Blanks of every kind are left as they are.

    Args:
        text: The text.
        but: Characters that are left as they are all the same.
        by: Gives a character's escape.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in but or unicodedata.category(one) == "Zs" else by(one)
        for one in text
    )


def without_password(text: str) -> str:
    """A text that is a URI, or begins with one, with its password replaced."""
    return _PASSWORD_KEY.sub(rf"\1{_CUT}", _PASSWORD.sub(rf"\1:{_CUT}@", text))


def cut(text: str, most: int) -> str:
    """A text cut at its end where it is longer than ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shorten(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text cut in its middle where it is longer than ``most`` characters.

    What happened stands at the beginning of a message, and what to do at its end.
    """
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - len(_CUT)]}{_CUT}{text[-end:]}"
