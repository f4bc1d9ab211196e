"""``aiidadb demo``: the main job on a private PostgreSQL, in under a minute."""

from __future__ import annotations

import click

from aiidadb.cli.options import json_alone

__all__ = ["demo"]


@click.command(short_help="Show aiidadb at work on a private PostgreSQL.")
@click.option(
    "--nodes",
    "number",
    type=click.IntRange(min=1_000),
    metavar="N",
    default=140_000,
    show_default=True,
    help="The number of nodes in the campaign.",
)
@click.option(
    "--keep", is_flag=True, help="Keep the server and its databases, and print how to use them."
)
@json_alone
def demo(as_json: bool, /, number: int, keep: bool) -> None:
    """Show aiidadb at work: a campaign of band structures on a private PostgreSQL.

    Starts a private server, creates a database, fills it with workflows as AiiDA stores
    them, queries and changes it, and migrates another database from AiiDA 1.6 to 2.x.
    Removes everything at the end, unless --keep is given.
    """
    # Not before it is asked for: no other command reads what makes demo data.
    from aiidadb.cli.demo.tour import run_tour

    run_tour(number, keep=keep, as_json=as_json)
