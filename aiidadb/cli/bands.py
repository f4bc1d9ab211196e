"""``aiidadb bands list``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

import click

from aiidadb.cli.groups import Group
from aiidadb.cli.names import find_groups, require_elements, require_user_email
from aiidadb.cli.options import command_options_but_p, group_options, link_types_option
from aiidadb.cli.output.json_output import echo_json
from aiidadb.cli.output.tables import table
from aiidadb.connecting.profiles.profile import without_default_user
from aiidadb.messages import plural, quote
from aiidadb.queries.formula import FORMULA_MODES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from aiidadb.backend import Backend
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


@click.group(cls=Group)
@group_options
def bands() -> None:
    """Show band structures."""


class _SeveralValues(click.Command):
    """A command whose repeatable options also take several values together, as verdi's do.

    ``-e Si O`` is ``-e Si -e O``. Such a command has no arguments.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse a command line; takes what :meth:`click.Command.parse_args` does."""
        options = [one for one in self.params if isinstance(one, click.Option)]
        repeatable = {
            name
            for option in options
            if option.multiple and option.expose_value
            for name in option.opts
        }
        switches = {name for option in options if option.is_flag for name in option.opts}
        return super().parse_args(ctx, list(_one_by_one(args, repeatable, switches)))


def _one_by_one(
    words: Iterable[str], repeatable: Collection[str], switches: Collection[str]
) -> Iterator[str]:
    """A command line in which each value has its option."""
    option: str | None = None  # that the next value is for
    has_value = False
    for word in words:
        if word.startswith("-"):
            name, has_value = _option_of(word, switches)
            option = name if name in repeatable else None
        elif option is not None:
            if has_value:
                yield option
            has_value = True
        yield word


def _option_of(word: str, switches: Collection[str]) -> tuple[str, bool]:
    """The option of a word whose value may follow, and whether one is in the word itself."""
    if word.startswith("--"):
        name, equals, _ = word.partition("=")
        return name, bool(equals)
    last = len(word) - 1
    for at in range(1, last):  # -AeSi is -A -e Si
        if f"-{word[at]}" not in switches:
            return f"-{word[at]}", True
    return f"-{word[last]}", False


def _as_days(text: str) -> float:
    """Read a number of days, 0 or more."""
    try:
        days = float(text)
    except ValueError:
        # In other commands -p is the profile.
        raise click.BadParameter(
            f"{quote(text)} is not a number of days; for a profile use --profile"
        ) from None
    if not (math.isfinite(days) and days >= 0):
        raise click.BadParameter(f"a number of days is 0 or more, not {days}")
    return days


@bands.command("list", cls=_SeveralValues, short_help="List band structures.")
@click.option("--all-users", "-A", is_flag=True, help="List the band structures of all users.")
@click.option(
    "--user-email",
    metavar="EMAIL",
    help="List the band structures of this user.  [default: the profile's default user]",
)
@click.option(
    "--past-days",
    "-p",
    type=_as_days,
    metavar="N",
    help="Only those created in the last N days.",
)
@click.option(
    "--group", "--groups", "-G", "group", multiple=True, metavar="GROUP",
    help="Only those in this group, named by its pk, UUID or label. Append ! to a label that looks "
    "like a pk or UUID.",
)  # fmt: skip
@click.option(
    "--group-pk", type=int, multiple=True, metavar="PK", help="Only those in the group of this pk."
)
@click.option(
    "--element", "--with-elements", "-e", "element", multiple=True, metavar="SYMBOL",
    help="Only those whose structure contains any of these elements: -e Si C or -e Si -e C.",
)  # fmt: skip
@click.option(
    "--element-only", "--with-elements-exclusive", "-E", "element_only", multiple=True,
    metavar="SYMBOL",
    help="Only those whose structure contains all of these elements: -E Si C or -E Si -E C. It may "
    "contain others, too: verdi's option does not exclude them either, despite its name.",
)  # fmt: skip
@click.option(
    "--formula-mode",
    "-f",
    "formulamode",
    type=click.Choice(FORMULA_MODES),
    default="hill",
    show_default=True,
    help="How formulas are written.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="List at most N band structures."
)
@link_types_option(
    default="create and input_calc; all types, if no structure is found by following these"
)
@click.option(
    "--raw",
    "-r",
    is_flag=True,
    help="Print only pk, formula, date and label, without headings, as verdi does.",
)
@command_options_but_p
def list_bands(
    database: Database,
    all_users: bool,
    user_email: str | None,
    past_days: float | None,
    group: Sequence[str],
    group_pk: Sequence[int],
    element: Sequence[str],
    element_only: Sequence[str],
    formulamode: FormulaMode,
    limit: int | None,
    link_types: Sequence[str],
    raw: bool,
) -> None:
    """List band structures with the formula of the structure that they were computed from.

    These options can be repeated, or take several values: --group, --group-pk,
    --element, --element-only, --link-type. The short options are those of verdi data
    core.bands list: -p is --past-days here, so write --profile for the profile.
    """
    require_elements([*element, *element_only])

    async def ask(backend: Backend) -> list[BandsRow]:
        if user_email is not None:
            await require_user_email(
                backend, user_email, otherwise="" if all_users else ", or add --all-users"
            )
        elif not all_users and backend.profile.default_user_email is None:
            raise click.UsageError(
                f"{without_default_user(backend.profile)}: add --user-email EMAIL, or --all-users"
            )
        return await backend.queries.get_bands_and_parents_structure(
            all_users=all_users,
            past_days=past_days,
            group_pk=await find_groups(backend, group, group_pk),
            element=element or None,
            element_only=element_only or None,
            formulamode=formulamode,
            link_types=link_types or None,
            limit=limit,
        )

    rows = database.call(ask, doing="Looking for band structures", default_user=user_email)
    if database.as_json:
        echo_json(rows)
        return
    if raw:
        columns = {name: side for name, side in BANDS_COLUMNS.items() if name != "Structure"}
        table(None, columns, (row.as_strings() for row in rows), headings=False, empty="")
        return
    table(
        plural(len(rows), "band structure"),
        BANDS_COLUMNS,
        map(bands_cells, rows),
        empty="No band structures.",
    )


def bands_cells(row: BandsRow) -> list[object]:
    """The cells of one row of such a table."""
    pk, formula, created, label = row.as_strings()
    return [pk, formula, row.structure_pk, created, label]
