"""``aiidadb bands list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aiidadb.cli.options import command_options
from aiidadb.cli.show import echo_json, table
from aiidadb.formula import FORMULA_MODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiidadb.cli.options import Database

__all__ = ["bands"]


@click.group()
def bands() -> None:
    """Look at band structures."""


@bands.command("list")
@click.option("--all-users", "-A", is_flag=True, help="Those of all users, not only yours.")
@click.option("--past-days", type=float, metavar="N", help="Made in the last N days.")
@click.option("--group", "group_name", multiple=True, metavar="LABEL", help="In this group.")
@click.option("--group-pk", type=int, multiple=True, metavar="PK", help="In this group.")
@click.option("--element", multiple=True, metavar="SYMBOL", help="With any of these elements.")
@click.option("--element-only", multiple=True, metavar="SYMBOL", help="With all of these.")
@click.option(
    "--formula-mode",
    "formulamode",
    type=click.Choice(FORMULA_MODES),
    default="hill",
    show_default=True,
    help="How formulas are written.",
)
@command_options
async def list_bands(
    database: Database,
    all_users: bool,
    past_days: float | None,
    formulamode: str,
    **several: Sequence[str] | Sequence[int],
) -> None:
    """List band structures with the formula of the closest structure."""
    async with database.open() as backend:
        rows = await backend.queries.get_bands_and_parents_structure(
            all_users=all_users,
            past_days=past_days,
            formulamode=formulamode,
            **{name: list(values) or None for name, values in several.items()},
        )
    if database.as_json:
        echo_json(rows)
        return
    table(
        f"{len(rows):,} band structures",
        {"Pk": "right", "Formula": "left", "Created": "right", "Label": "left"},
        (row.as_strings() for row in rows),
    )
