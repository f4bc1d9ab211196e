"""``aiidadb stats``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aiidadb.cli.names import find_user
from aiidadb.cli.options import command_options
from aiidadb.cli.output.charts import draw_days
from aiidadb.cli.output.json_output import echo_json
from aiidadb.cli.output.tables import table
from aiidadb.messages import plural, quote

if TYPE_CHECKING:
    from aiidadb.backend import Backend
    from aiidadb.cli.options import Database
    from aiidadb.queries.creation_statistics import CreationStatistics

__all__ = ["stats"]


def _as_user(text: str) -> int | str:
    """Read a pk, or an email address."""
    if "@" in text:
        return text
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"{quote(text)} is neither a pk nor an email address") from None


@click.command()
@click.option(
    "--user",
    type=_as_user,
    metavar="USER",
    help="Count only the nodes of this user, named by pk or email address.  [default: all users]",
)
@click.option(
    "--timezone",
    metavar="NAME",
    help="The time zone in which days begin and end, such as Europe/Zurich.  [default: that of the "
    "database server]",
)
@click.option(
    "--days",
    type=click.IntRange(min=0),
    metavar="N",
    default=30,
    show_default=True,
    help="How many of the last days to show in the chart.",
)
@command_options
def stats(database: Database, user: int | str | None, timezone: str | None, days: int) -> None:
    """Count nodes by type and by day of creation."""

    async def ask(backend: Backend) -> CreationStatistics:
        user_pk = None if user is None else await find_user(backend, user)
        return await backend.queries.get_creation_statistics(user_pk, timezone=timezone)

    found = database.call(ask, doing="Counting nodes")
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
        empty="No nodes.",
    )
    draw_days(found["ctime_by_day"], days)
