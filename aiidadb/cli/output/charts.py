"""Bar charts of text."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from rich.text import Text

from aiidadb.cli.output.console import console, echo, say

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["draw_days"]

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_LONGEST_BAR: Final = 50


def draw_days(by_day: Mapping[str, int], most: int) -> None:
    """Draw the last days as a bar chart.

    Args:
        by_day: Day to number of nodes, ascending.
        most: How many days at most.
    """
    shown = list(by_day.items())[-most:] if most else []
    if not shown:
        return
    echo()
    of_all = f", the last {len(shown)} of {len(by_day)}" if len(shown) < len(by_day) else ""
    say(f"Nodes by day{of_all}", "bold")
    largest = max(number for _, number in shown)
    width = len(f"{largest:,}")
    longest = max(len(day) for day, _ in shown)  # 0044-03-15 BC is longer than 2025-01-31
    out = console()
    room = min(_LONGEST_BAR, max(out.width - longest - len("    ") - width, 1))
    for day, number in shown:
        drawn = _bar(number, largest, room)
        out.print(Text.assemble(f"{day:<{longest}}  {number:>{width},}  ", (drawn, "cyan")))


def _bar(value: float, largest: float, width: int) -> str:
    """A horizontal bar in eighths of a character; something above nothing is never nothing."""
    if value <= 0 or largest <= 0:
        return ""
    if not _draws_blocks():
        return "#" * max(1, round(width * value / largest))
    eighths = max(1, round(8 * width * value / largest))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _draws_blocks() -> bool:
    try:
        _EIGHTHS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
