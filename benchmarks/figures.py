"""The five figures of the README, taken from the result files.

``python benchmarks/figures.py`` prints their table; with ``--write`` it also writes the table into
the README and draws ``results/figures.png``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from common import RESULTS, console
from report import Bar, Panel, draw

if TYPE_CHECKING:
    from collections.abc import Iterable

README: Final = Path(__file__).parent.parent / "README.md"
BEGIN: Final = "<!-- begin of benchmarks/figures.py -->\n"
END: Final = "<!-- end of benchmarks/figures.py -->\n"


@dataclass(frozen=True)
class Figure:
    """One comparison of aiidadb with aiida-core.

    Attributes:
        what: What was measured, for readers who know AiiDA.
        result: The result file, without its ending.
        group: The group of measurements in it.
        peer: The name that aiida-core's measurement has there.
        version: Which aiida-core it was.
    """

    what: str
    result: str
    group: str
    peer: str = "aiida-core"
    version: str = "2.9.4"

    @cached_property
    def _result(self) -> dict[str, Any]:
        text = (RESULTS / f"{self.result}.json").read_text(encoding="utf-8")
        return dict(json.loads(text))

    @property
    def environment(self) -> dict[str, Any]:
        """Commit, date, processor and versions of the run."""
        return dict(self._result["environment"])

    def _median(self, name: str) -> tuple[float, str]:
        (found,) = (
            one
            for one in self._result["measurements"]
            if (one["group"], one["name"]) == (self.group, name)
        )
        return found["median"], found["unit"]

    @property
    def panel(self) -> Panel:
        """The two measurements as bars."""
        own, peer = self._median("aiidadb"), self._median(self.peer)
        return Panel(
            self.what,
            (Bar("aiidadb", *own), Bar(f"aiida-core {self.version}", *peer)),
        )

    @property
    def row(self) -> str:
        """The same as a row of a table in Markdown."""
        own, peer = self.panel.bars
        ratio = peer.value / own.value
        times = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"
        core = _rounded(peer) + ("" if self.version == "2.9.4" else f" ({self.version})")
        return f"| {self.what} | {_rounded(own)} | {core} | {times} × |"


FIGURES: Final = (
    Figure(
        "Find the closest structure of 500 band structures, 140,000 nodes",
        "closest_parents_140000",
        "500 bands",
        "aiida-core, level by level",
    ),
    Figure(
        "List the links of 50 nodes in both directions, 140,000 nodes",
        "reading_room_links_140000",
        "50 neighbours",
    ),
    Figure(
        "Load a node by its pk with the QueryBuilder, the client's processor time",
        "querybuilder_small_140000",
        "node by pk, 1 row",
    ),
    Figure(
        "Delete 20,010 of 140,000 nodes by AiiDA's provenance rules",
        "deletion_20000_of_140000",
        "with the provenance rules",
    ),
    Figure(
        "Migrate 18,072 nodes of AiiDA 0.12 (SQLAlchemy) with their files",
        "migration_sqlalchemy_18000",
        "to the head of 2.x",
        "aiida-core 2.1.2",
        "2.1.2",
    ),
)


def _rounded(bar: Bar) -> str:
    """A time with two or three digits, in the unit that fits."""
    seconds = bar.value / {"s": 1, "µs": 1_000_000}[bar.unit]
    for factor, unit in ((1, "s"), (1_000, "ms")):
        if seconds * factor >= 1 or unit == "ms":
            value = seconds * factor
            return f"{value:.0f} {unit}" if value >= 20 else f"{value:.2g} {unit}"
    raise AssertionError(seconds)


def _different(texts: Iterable[str]) -> str:
    return " and ".join(sorted({text for text in texts if text and "()" not in text}))


def table() -> str:
    """The table in Markdown, and where its figures come from."""
    lines = ["| what | aiidadb | aiida-core 2.9.4 | ratio |", "|---|---|---|---|"]
    lines += [figure.row for figure in FIGURES]
    runs = [figure.environment for figure in FIGURES]
    days = _different(run.get("date", "").partition(" ")[0] for run in runs)
    where = ", ".join(
        [
            _different(f"{run['cores']} cores ({run.get('processor', '')})" for run in runs),
            "PostgreSQL " + _different(run["postgresql"] for run in runs),
            "Python " + _different(run["python"] for run in runs),
        ]
    )
    note = (
        "aiida-core has no call for the first question; its time is that of a search level by "
        "level, measured for 10 of the 500 and scaled."
    )
    source = f"Medians, measured on {days} with {where}, beside other programs. {note}"
    return "\n".join([*lines, "", source, ""])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", action="store_true", help="into the README, with its picture")
    arguments = options.parse_args()
    console.print(table(), markup=False, highlight=False, soft_wrap=True, end="")
    if arguments.write:
        before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
        behind = rest.partition(END)[2]
        README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{behind}", encoding="utf-8")
        draw([figure.panel for figure in FIGURES], RESULTS / "figures.png")


if __name__ == "__main__":
    main()
