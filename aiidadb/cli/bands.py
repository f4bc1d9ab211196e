"""``aiidadb bands list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import click

from aiidadb.cli.options import command_options, link_types_option
from aiidadb.cli.output.console import plural
from aiidadb.cli.output.json_output import echo_json
from aiidadb.cli.output.tables import table
from aiidadb.messages import quote
from aiidadb.queries.formula import FORMULA_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiidadb.cli.options import Database
    from aiidadb.queries.bands import BandsRow
    from aiidadb.queries.formula import FormulaMode

__all__ = ["BANDS_COLUMNS", "bands", "bands_cells"]

BANDS_COLUMNS: Final[Mapping[str, Literal["left", "right"]]] = {
    "Pk": "right",
    "Formula": "left",
    "Structure": "right",
    "Created": "left",
    "Label": "left",
}
"""Headings of a table of bands, and the side at which its cells stand."""


@click.group()
def bands() -> None:
    """Look at band structures."""


@bands.command("list")
@click.option("--all-users", "-A", is_flag=True, help="Those of all users, not only yours.")
@click.option("--user-email", metavar="EMAIL", help="Who you are, if not the profile's user.")
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
@link_types_option(default="create and input_calc; all for bands without a structure there")
@command_options
def list_bands(
    database: Database,
    all_users: bool,
    user_email: str | None,
    past_days: float | None,
    group_name: Sequence[str],
    group_pk: Sequence[int],
    element: Sequence[str],
    element_only: Sequence[str],
    formulamode: FormulaMode,
    link_types: Sequence[str],
) -> None:
    """List band structures with the formula of the structure that they were computed from.

    Options that may be repeated: --group, --group-pk, --element, --element-only, --link-type.
    """
    if not all_users and (user_email or database.profile.default_user_email) is None:
        raise click.UsageError(
            f"profile {quote(database.profile.name)} has no default user: "
            "add --user-email EMAIL, or --all-users"
        )
    rows = database.call(
        lambda backend: backend.queries.get_bands_and_parents_structure(
            all_users=all_users,
            past_days=past_days,
            group_name=group_name or None,
            group_pk=group_pk or None,
            element=element or None,
            element_only=element_only or None,
            formulamode=formulamode,
            link_types=link_types or None,
        ),
        doing="Looking for band structures",
        default_user=user_email,
    )
    if database.as_json:
        echo_json(rows)
        return
    table(
        plural(len(rows), "band structure"),
        BANDS_COLUMNS,
        map(bands_cells, rows),
    )


def bands_cells(row: BandsRow) -> list[object]:
    """The cells of one row of such a table."""
    pk, formula, created, label = row.as_strings()
    return [pk, formula, row.structure_pk, created, label]
