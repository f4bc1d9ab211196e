"""The revisions of AiiDA's old SQLAlchemy backend, which Alembic records in ``alembic_version``.

One chain without branches, from the migrations of aiida-core 1.x and 2.x. The names have no order:
versions are compared by the place in the chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NUMBERS", "REVISIONS"]

REVISIONS: Final = (
    "e15ef2630a1b",  # 0.7 to 0.9, which record no version
    "70c7d732f1b2",
    "a6048f0ffca8",
    "89176227b25",  # 0.10 to 0.11.0
    "35d4ee9a1b0e",  # 0.11.1 to 0.12.2
    "7a6587e16f4c",  # 0.12.3 to 0.12.5
    "0aebbeab274d",
    "6c629c886f84",
    "f9a69de76a9a",
    "a514d673c163",
    "59edaf8a8b79",
    "62fe0d36de90",
    "5d4d844852b6",
    "a603da2cc809",
    "162b99bca4a2",
    "140c971ae0a3",
    "239cea6d2452",
    "b8b23ddefad4",
    "e72ad251bcdb",
    "7ca08c391c49",
    "041a79fc615f",
    "ea2f50e7f615",
    "375c2db70663",
    "6a5c2ea1439d",
    "37f3d4882837",
    "12536798d4d3",
    "ce56d84bcc35",
    "61fc0913fae9",
    "d254fdfed416",
    "5ddd24e52864",
    "5a49629f0d45",
    "3d6190594e19",
    "1b8ed3425af9",
    "1830c8430131",
    "de2eaf6978b4",
    "07fac78e6209",
    "26d561acd560",
    "e797afa09270",
    "e734dd5e50d7",
    "7b38a9e783e7",
    "91b573400be5",  # 1.0.0
    "118349c10896",  # 1.0.1 to 1.1.1
    "bf591f31dd12",  # 1.2.0 to 1.3.1
    "0edcdd5a30f0",  # 1.4.0 to 1.6.9
    "7536a82b2cc4",
    "1feaea71bd5a",
    "535039300e4a",
    "34a831f4286d",
    "1de112340b16",
    "1de112340b17",
    "1de112340b18",  # the end, from which AiiDA 2.x continues to main_0001
)
"""In the order in which a database takes them; each with the releases that require it, if any."""

NUMBERS: Final[Mapping[str, int]] = {
    revision: number for number, revision in enumerate(REVISIONS, start=1)
}
"""The place of each in the chain, from 1."""
