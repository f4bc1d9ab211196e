"""``aiidadb stats``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from aiidadb.cli.options import command_options
from aiidadb.cli.show import bar, console, echo_json, plural, say, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.cli.options import Database

__all__ = ["draw_days", "stats"]

_LONGEST_BAR: Final = 50


@click.command()
@click.option("--user", "user_pk", type=int, metavar="PK", help="Nodes of this user only.")
@click.option("--timezone", metavar="NAME", help="Where a day begins and ends, such as UTC.")
@click.option(
    "--days",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="How many of the last days to draw.",
)
@command_options
def stats(database: Database, user_pk: int | None, timezone: str | None, days: int) -> None:
    """Count nodes by type and by day of creation."""
    found = database.call(
        lambda backend: backend.queries.get_creation_statistics(user_pk, timezone=timezone),
        doing="Counting nodes",
    )
    if database.as_json:
        echo_json(found)
        return
    total = found["total"]
    table(
        plural(total, "node"),
        {"Type": "left", "Nodes": "right", "Share": "right"},
        (
            (name or "(none)", f"{number:,}", f"{number / total:.1%}")
            for name, number in sorted(found["types"].items(), key=lambda item: -item[1])
        ),
    )
    draw_days(found["ctime_by_day"], days)


def draw_days(by_day: Mapping[str, int], most: int) -> None:
    """Draw the last days as a bar chart.

    Args:
        by_day: Day to number of nodes, ascending.
        most: How many days at most.
    """
    shown = list(by_day.items())[-most:] if most else []
    if not shown:
        return
    click.echo()
    of_all = f", the last {len(shown)} of {len(by_day)}" if len(shown) < len(by_day) else ""
    say(f"Nodes by day{of_all}", "bold")
    largest = max(number for _, number in shown)
    width = len(f"{largest:,}")
    out = console()
    room = min(_LONGEST_BAR, max(out.width - len("2025-01-31    ") - width, 1))
    for day, number in shown:
        drawn = bar(number, largest, room)
        out.print(Text.assemble(f"{day}  {number:>{width},}  ", (drawn, "cyan")))
