"""Schema versions of AiiDA's two lines, compared as versions.

``django``: ``1.0.1`` … ``1.0.45``, and on to ``1.0.50``, the way over to AiiDA 2.x.
``main``: ``main_0001``, ``main_0002``. (The third line, of AiiDA's old SQLAlchemy backend, has
hexadecimal revisions and is not served.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Literal, get_args

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote

__all__ = ["DJANGO_HEAD", "LAST_WITH_DJANGO", "MAIN_HEAD", "Line", "SchemaVersion", "head_for"]

Line = Literal["django", "main"]

_DJANGO = re.compile(r"(?:1\.0\.|django_)0*(\d+)")
_MAIN = re.compile(r"main_(\d{4})")


@total_ordering
@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A version of AiiDA's database schema.

    ``str()`` gives AiiDA's own spelling. All of the django line comes before all of main, which is
    the order in which a database goes through them.

    Attributes:
        line: ``django`` (AiiDA 0.x and 1.x) or ``main`` (2.x).
        number: The number of the migration within the line, from 1.
    """

    line: Line
    number: int

    def __post_init__(self) -> None:
        if not isinstance(self.line, str) or type(self.number) is not int:
            raise InvalidTypeError("a version is a line and a whole number")
        if self.line not in get_args(Line) or self.number < 0:
            raise InvalidInputError(
                f"there is no version {quote(self.number)} of a line {quote(self.line)}: lines "
                f"are {' and '.join(get_args(Line))}"
            )

    @classmethod
    def parse(cls, text: str) -> SchemaVersion:
        """Read ``1.0.45``, ``django_0045`` or ``main_0002``.

        Returns:
            The version, known or not: ``main_0099`` can be read as well.

        Raises:
            InvalidInputError: It is none of these.
        """
        if isinstance(text, str):
            if found := _DJANGO.fullmatch(text):
                return cls("django", int(found[1]))
            if found := _MAIN.fullmatch(text):
                return cls("main", int(found[1]))
        kind = InvalidInputError if isinstance(text, str) else InvalidTypeError
        raise kind(
            f"{quote(text)} is no schema version: give '1.0.N' (AiiDA 0.x and 1.x) or "
            "'main_NNNN' (2.x)"
        )

    @property
    def schema_name(self) -> str:
        """The version as the files of ``sql/`` are named: ``django_0045``, ``main_0002``."""
        return f"{self.line}_{self.number:04}"

    @property
    def has_core_prefix(self) -> bool:
        """Whether node types begin with ``data.core.`` (from 1.0.49 on)."""
        return self.line == "main" or self.number >= 49

    @property
    def has_computer_labels(self) -> bool:
        """Whether computers have a column ``label`` (from 1.0.48 on), not ``name``."""
        return self.line == "main" or self.number >= 48

    @property
    def has_uuid_columns(self) -> bool:
        """Whether UUIDs are of PostgreSQL's type for them (from 1.0.18 on), not text."""
        return self.line == "main" or self.number >= 18

    @property
    def has_json_columns(self) -> bool:
        """Whether attributes, extras and settings are JSONB (from 1.0.37 on)."""
        return self.line == "main" or self.number >= 37

    def __str__(self) -> str:
        return f"1.0.{self.number}" if self.line == "django" else self.schema_name

    def __lt__(self, other: SchemaVersion) -> bool:
        if not isinstance(other, SchemaVersion):
            return NotImplemented
        return (self.line, self.number) < (other.line, other.number)


DJANGO_HEAD = SchemaVersion("django", 45)
LAST_WITH_DJANGO = SchemaVersion("django", 49)  # with the next step Django's own tables go
MAIN_HEAD = SchemaVersion("main", 2)
_LAST_OF_DJANGO = SchemaVersion("django", LAST_WITH_DJANGO.number + 1)


def head_for(version: SchemaVersion) -> SchemaVersion:
    """Where a database of a version belongs: at the head of its line, or of the one to come."""
    if version.line == "main" or DJANGO_HEAD < version <= _LAST_OF_DJANGO:
        return MAIN_HEAD
    return DJANGO_HEAD
