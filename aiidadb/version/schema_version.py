"""Schema versions of AiiDA's three lines, compared as versions.

``django``: ``1.0.1`` … ``1.0.45``, and on to ``1.0.50``, the way over to AiiDA 2.x.
``sqlalchemy``: the 51 revisions of AiiDA's old SQLAlchemy backend, such as ``0edcdd5a30f0``; from
the 45th on they are the way over to AiiDA 2.x.
``main``: ``main_0001``, ``main_0002``, in which both end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Literal, get_args

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote
from aiidadb.version.sqlalchemy_revisions import NUMBERS, REVISIONS

__all__ = [
    "DJANGO_HEAD",
    "LAST_WITH_DJANGO",
    "MAIN_HEAD",
    "SQLALCHEMY_HEAD",
    "Line",
    "SchemaVersion",
    "are_comparable",
    "head_for",
]

Line = Literal["django", "sqlalchemy", "main"]

_DJANGO = re.compile(r"(?:1\.0\.|django_)0*(\d+)")
_MAIN = re.compile(r"main_(\d{4})")
_SQLALCHEMY = re.compile(r"(?:sqlalchemy_\d\d_)?([0-9a-f]{11,12})")


@total_ordering
@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A version of AiiDA's database schema.

    ``str()`` gives AiiDA's own spelling. All of the django line comes before all of main, and so
    does all of the sqlalchemy line, which is the order in which a database goes through them. No
    database goes from one of these two to the other: to compare them raises an error.

    Attributes:
        line: ``django`` or ``sqlalchemy``, the two backends of AiiDA 0.x and 1.x, or ``main``
            (2.x).
        number: The number of the migration within the line, from 1; in the sqlalchemy line the
            place of the revision in the chain, 1 to 51.

    Raises:
        InvalidInputError: There is no such version; or, from a comparison, one is of the django
            line and the other of the sqlalchemy line.
        InvalidTypeError: It is not a line and a whole number.
    """

    line: Line
    number: int

    def __post_init__(self) -> None:
        if not isinstance(self.line, str) or type(self.number) is not int:
            raise InvalidTypeError("a version is a line and a whole number")
        if self.line not in get_args(Line) or self.number < 0:
            raise InvalidInputError(
                f"there is no version {quote(self.number)} of a line {quote(self.line)}: lines "
                f"are {', '.join(get_args(Line))}"
            )
        if self.line == "sqlalchemy" and not 1 <= self.number <= len(REVISIONS):
            raise InvalidInputError(
                f"there is no version {self.number} of the sqlalchemy line: it has 1 to "
                f"{len(REVISIONS)}"
            )

    @classmethod
    def parse(cls, text: str) -> SchemaVersion:
        """Read ``1.0.45``, ``django_0045``, ``0edcdd5a30f0`` or ``main_0002``.

        Returns:
            The version, known or not: ``main_0099`` can be read as well. Of the sqlalchemy line,
            which has ended, all revisions are known.

        Raises:
            InvalidInputError: It is none of these.
        """
        if isinstance(text, str):
            if found := _DJANGO.fullmatch(text):
                return cls("django", int(found[1]))
            if found := _MAIN.fullmatch(text):
                return cls("main", int(found[1]))
            found = _SQLALCHEMY.fullmatch(text)
            if found and found[1] in NUMBERS:
                version = cls("sqlalchemy", NUMBERS[found[1]])
                if text in (found[1], version.schema_name):
                    return version
        kind = InvalidInputError if isinstance(text, str) else InvalidTypeError
        raise kind(
            f"{quote(text)} is not a schema version: give '1.0.N' (AiiDA 0.x and 1.x), a revision "
            f"such as '{SQLALCHEMY_HEAD}' (0.x and 1.x with the SQLAlchemy backend) or "
            "'main_NNNN' (2.x)"
        )

    @property
    def schema_name(self) -> str:
        """The version as files are named: ``django_0045``, ``sqlalchemy_44_0edcdd5a30f0``."""
        if self.line == "sqlalchemy":
            return f"{self.line}_{self.number:02}_{self}"
        return f"{self.line}_{self.number:04}"

    @property
    def revision(self) -> str:
        """The version as ``alembic_version`` has it: ``0edcdd5a30f0``, ``main_0002``.

        AiiDA 2.x has one for each version of the django line too: ``django_0045``.
        """
        return str(self) if self.line == "sqlalchemy" else self.schema_name

    @property
    def has_core_prefix(self) -> bool:
        """Whether node types begin with ``data.core.`` (from 1.0.49 and 34a831f4286d on)."""
        return self._has_since(django=49, sqlalchemy=48)

    @property
    def has_computer_labels(self) -> bool:
        """Whether computers have a column ``label``, not ``name`` (from 1.0.48, 535039300e4a)."""
        return self._has_since(django=48, sqlalchemy=47)

    @property
    def has_group_labels(self) -> bool:
        """Whether groups have ``label`` and ``type_string``, not ``name`` and ``type``.

        They do from 1.0.21 and b8b23ddefad4 on.
        """
        return self._has_since(django=21, sqlalchemy=18)

    @property
    def has_link_types(self) -> bool:
        """Whether links have the types that AiiDA has now (from 1.0.20, 239cea6d2452).

        Before, ``inputlink`` and ``calllink`` stood for those of calculations and workflows alike.
        """
        return self._has_since(django=20, sqlalchemy=17)

    @property
    def has_node_type(self) -> bool:
        """Whether nodes have a column ``node_type``, not ``type`` (from 1.0.30, 5ddd24e52864)."""
        return self._has_since(django=30, sqlalchemy=30)

    @property
    def has_uuid_columns(self) -> bool:
        """Whether UUIDs are of PostgreSQL's type for them, not text (from 1.0.18 on).

        In the sqlalchemy line they always were.
        """
        return self._has_since(django=18, sqlalchemy=1)

    @property
    def has_json_columns(self) -> bool:
        """Whether attributes, extras and settings are JSONB (from 1.0.37 on).

        In the sqlalchemy line they always were.
        """
        return self._has_since(django=37, sqlalchemy=1)

    @property
    def has_long_settings(self) -> bool:
        """Whether keys of settings may have 1,024 characters, and descriptions any number.

        In the sqlalchemy line both have 255 at most, up to 1de112340b16.
        """
        return self._has_since(django=1, sqlalchemy=50)

    def _has_since(self, *, django: int, sqlalchemy: int) -> bool:
        """Whether a database has what comes with the steps of these numbers."""
        return self.line == "main" or self.number >= (
            django if self.line == "django" else sqlalchemy
        )

    def __str__(self) -> str:
        if self.line == "sqlalchemy":
            return REVISIONS[self.number - 1]
        return f"1.0.{self.number}" if self.line == "django" else self.schema_name

    def __lt__(self, other: SchemaVersion) -> bool:
        if not isinstance(other, SchemaVersion):
            return NotImplemented
        if not are_comparable(self, other):
            raise InvalidInputError(
                f"{self} is of the {self.line} line and {other} of the {other.line} line: neither "
                "comes before the other"
            )
        return (self.line == "main", self.number) < (other.line == "main", other.number)


DJANGO_HEAD = SchemaVersion("django", 45)
LAST_WITH_DJANGO = SchemaVersion("django", 49)  # with the next step Django's own tables go
SQLALCHEMY_HEAD = SchemaVersion("sqlalchemy", 44)
MAIN_HEAD = SchemaVersion("main", 2)
_LAST_OF_DJANGO = SchemaVersion("django", LAST_WITH_DJANGO.number + 1)


def are_comparable(one: SchemaVersion, other: SchemaVersion) -> bool:
    """Whether one of the two is before the other: not so between the lines of AiiDA 1.x."""
    return one.line == other.line or "main" in (one.line, other.line)


def head_for(version: SchemaVersion) -> SchemaVersion:
    """Where a database of a version belongs: at the head of its line, or of the one to come."""
    if version.line == "sqlalchemy":
        return SQLALCHEMY_HEAD if version <= SQLALCHEMY_HEAD else MAIN_HEAD
    if version.line == "main" or DJANGO_HEAD < version <= _LAST_OF_DJANGO:
        return MAIN_HEAD
    return DJANGO_HEAD
