"""Turns the result files into bars: text, and a plot of what was compared with aiida-core.

``python benchmarks/report.py [results/NAME.json …]``; without names it takes all there are, and
draws ``results/benchmarks.png``. Each panel has its own scale, from zero to the longest bar.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from common import RESULTS, amount, console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_WIDTH: Final = 24  # of a text bar
_GAP: Final = 0.7  # below a panel of the plot, in bars
_LONGEST_NAME: Final = 40  # that fits beside a bar of the plot
_COLOURS: Final = {"aiidadb": "#1f5fa8", "aiida-core": "#d9772b", "floor": "#9aa3ad"}
_LEGEND: Final = {
    "aiidadb": "aiidadb",
    "aiida-core": "aiida-core (2.9.4 if not named)",
    "floor": "floor: what the server needs anyway",
}
# What comes first.
_ORDER: Final = (
    "closest_parents",
    "all_bands",
    "bands_listing",
    "bands_stream",
    "creation_statistics",
    "deletion",
    "concurrency",
    "lanes",
    "eav_to_jsonb",
    "files_move",
    "shapes",
)
# What draws its results itself, or has too many of them for a plot.
_OWN_PLOTS: Final = ("crossing", "querybuilder_examples")
# How the floor of each benchmark is called.
_FLOORS: Final = ("floor", "plain closure", "bare", "closest parents alone")


@dataclass(frozen=True)
class Bar:
    """One measurement."""

    name: str
    value: float
    unit: str

    @property
    def who(self) -> str:
        """Whose it is: what colours it."""
        if self.name.startswith("aiida-core"):
            return "aiida-core"
        return "floor" if self.name.startswith(_FLOORS) else "aiidadb"


@dataclass(frozen=True)
class Panel:
    """Measurements that are comparable with each other."""

    title: str
    bars: tuple[Bar, ...]

    @property
    def compares_with_aiida(self) -> bool:
        """Whether both are measured."""
        return {"aiidadb", "aiida-core"} <= {bar.who for bar in self.bars}

    def length(self, bar: Bar) -> float:
        """How long a bar is, from 0 to 1."""
        return bar.value / max(other.value for other in self.bars)

    def ratio(self, bar: Bar) -> str:
        """How many times as much as aiidadb's own: that of the same size, or the first."""
        own = [other for other in self.bars if other.who == "aiidadb"]
        if bar.who == "aiidadb" or not own:
            return ""
        size = bar.name.partition(", ")[2]
        alike = [other for other in own if size and other.name.endswith(size)]
        times = bar.value / (alike or own)[0].value
        return f"{times:,.0f} ×" if times >= 10 else f"{times:.2g} ×"


def read_panels(paths: Sequence[Path]) -> list[Panel]:
    """One panel for each group of measurements of each file, in the files' order."""
    panels = []
    for path in paths:
        result = json.loads(path.read_text(encoding="utf-8"))
        groups: dict[str, list[Bar]] = {}
        for one in result["measurements"]:
            if one["median"] > 0:
                bar = Bar(one["name"], one["median"], one["unit"])
                groups.setdefault(one["group"], []).append(bar)
        for group, bars in groups.items():
            title = result["title"][0].upper() + result["title"][1:]
            if len(groups) > 1:
                title = f"{title}: {group}"
            panels.append(Panel(title, tuple(bars)))
    return panels


def _place(path: Path) -> tuple[int, float, str]:
    """The order of benchmarks, and within one by its size."""
    rank = next((at for at, name in enumerate(_ORDER) if path.name.startswith(name)), len(_ORDER))
    sizes = [int(part) for part in path.stem.split("_") if part.isdigit()]
    return rank, max(sizes, default=0), path.name


def show(panels: Sequence[Panel]) -> None:
    """Bars of text."""
    for panel in panels:
        console.print(Text(panel.title, style="bold"))
        table = Table(box=None, show_header=False)
        table.add_column(max_width=30)
        table.add_column(min_width=_WIDTH, no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for bar in panel.bars:
            table.add_row(
                bar.name,
                Text(_text_bar(panel.length(bar)), style=_COLOURS[bar.who]),
                amount(bar.value, bar.unit),
                panel.ratio(bar),
            )
        console.print(table)
        console.print()


def _text_bar(length: float) -> str:
    """Whole blocks and an eighth's part of one, so that small ones differ too."""
    eighths = max(1, round(length * _WIDTH * 8))
    return "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]


def draw(panels: Sequence[Panel], path: Path) -> None:
    """The plot: panels in two columns, filled so that both are of about the same height."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    columns: tuple[list[Panel], list[Panel]] = ([], [])
    heights = [0.0, 0.0]
    for panel in panels:
        shorter = heights.index(min(heights))
        columns[shorter].append(panel)
        heights[shorter] += _height(panel)
    total = max(heights)
    inches = 0.34 * total + 0.4
    figure = plt.figure(figsize=(15, inches), dpi=110, facecolor="white")
    bar = 0.34 / inches  # the height of one
    for at, column in enumerate(columns):
        bottom = 1 - 0.4 / inches
        for panel in column:
            bottom -= _height(panel) * bar
            place = (0.5 * at + 0.2, bottom + _GAP * bar, 0.21, len(panel.bars) * bar)
            _draw_panel(figure.add_axes(place), panel)
    drawn = {bar.who for panel in panels for bar in panel.bars}
    legend = {who: text for who, text in _LEGEND.items() if who in drawn}
    figure.legend(
        handles=[Patch(color=_COLOURS[who], label=text) for who, text in legend.items()],
        loc="upper center",
        ncols=3,
        frameon=False,
        fontsize=11,
    )
    figure.savefig(path)
    plt.close(figure)


def _height(panel: Panel) -> float:
    """In bars: its own, its title, and the gap to the next."""
    return len(panel.bars) + 0.7 * len(_title(panel).splitlines()) + 0.3 + _GAP


def _title(panel: Panel) -> str:
    return textwrap.fill(panel.title, 72)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    names = [textwrap.shorten(bar.name, _LONGEST_NAME, placeholder=" …") for bar in panel.bars]
    places = range(len(panel.bars))
    axes.barh(
        places,
        # The shortest are seen too.
        [max(panel.length(bar), 0.006) for bar in panel.bars],
        color=[_COLOURS[bar.who] for bar in panel.bars],
        height=0.72,
    )
    for place, bar in zip(places, panel.bars, strict=True):
        ratio = panel.ratio(bar)
        axes.text(
            panel.length(bar) + 0.015,
            place,
            amount(bar.value, bar.unit) + (f"   {ratio}" if ratio else ""),
            va="center",
            fontsize=9.5,
        )
    axes.set_yticks(places, names, fontsize=9.5)
    axes.set_ylim(len(panel.bars) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color("#555555")
    axes.set_title(_title(panel), fontsize=11, fontweight="bold", loc="left", x=-0.91)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("results", nargs="*", type=Path, help="result files; none: all")
    options.add_argument("--plot", type=Path, default=RESULTS / "benchmarks.png")
    arguments = options.parse_args()
    paths = arguments.results or sorted(
        (path for path in RESULTS.glob("*.json") if path.stem not in _OWN_PLOTS), key=_place
    )
    panels = read_panels(paths)
    if not panels:
        raise SystemExit(f"no results in {RESULTS}: run a benchmark first")
    show(panels)
    draw([panel for panel in panels if panel.compares_with_aiida], arguments.plot)
    console.print(f"written: {arguments.plot}")


if __name__ == "__main__":
    main()
