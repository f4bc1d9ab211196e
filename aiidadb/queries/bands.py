"""One band structure of a listing, with the formula of the structure that it belongs to."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Final

from aiidadb.criteria.held_times import odd_time_of

__all__ = ["NO_STRUCTURE", "BandsRow"]

NO_STRUCTURE: Final = "<<NOT FOUND>>"
"""What stands for a formula where bands come from no structure."""

_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BandsRow:
    """One band structure of the listing.

    Attributes:
        pk: Of the bands node.
        formula: Of the structure that the bands belong to; ``<<NOT FOUND>>`` where there is none,
            ``<<UNKNOWN>>`` where it does not say what its atoms are.
        ctime: When the bands node was created, with time zone UTC; None where that is a time that
            Python cannot hold: before Christ, after 9999, or infinite. In the sqlalchemy line it
            may be missing.
        label: The label of the bands node.
        structure_pk: The pk of that structure; None where there is none.
        problem: What is odd: ``ctime`` and the time as PostgreSQL writes it, or why the formula
            cannot be given; None otherwise.
    """

    pk: int
    formula: str
    ctime: datetime.datetime | None
    label: str
    structure_pk: int | None = None
    problem: str | None = None

    def as_strings(self) -> list[str]:
        """The four strings of AiiDA's listing: pk, formula, ``DD Mon YYYY`` in UTC, label.

        Months are in English whatever the locale is. Dates that Python cannot hold are such as
        ``15 Mar 0044 BC``, ``01 Jan 12026`` and ``infinity``.
        """
        if self.ctime is not None:
            time = self.ctime.astimezone(datetime.UTC)
            date = _date(time.day, time.month, f"{time.year:04}")
        else:
            date = odd_time_of(self.problem)
            if odd := _ODD_DAY.fullmatch(date):
                year, month, day, era = odd.groups(default="")
                date = _date(int(day), int(month), year + era)
        return [str(self.pk), self.formula, date, self.label]


_ODD_DAY: Final = re.compile(r"(\d+)-(\d\d)-(\d\d) [\d:.]+( BC)?")


def _date(day: int, month: int, year: str) -> str:
    return f"{day:02} {_MONTHS[month - 1]} {year}"
