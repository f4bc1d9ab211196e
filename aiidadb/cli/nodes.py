"""``aiidadb stats``, ``closest-parents`` and ``nodes delete``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aiidadb.cli.options import command_options
from aiidadb.cli.show import bar, console, echo_json, progress_bar, table, working
from aiidadb.exceptions import InvalidInputError
from aiidadb.queries import LINK_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiidadb.cli.options import Database
    from aiidadb.deletion import DeletionPreview, DeletionReport

__all__ = ["closest_parents", "draw_days", "nodes", "stats"]

_BAR_WIDTH = 50


@click.command()
@click.option("--user", "user_pk", type=int, metavar="PK", help="Nodes of this user only.")
@click.option("--timezone", metavar="NAME", help="Where a day begins and ends, such as UTC.")
@click.option("--days", default=30, show_default=True, help="How many of the last days to draw.")
@command_options
async def stats(database: Database, user_pk: int | None, timezone: str | None, days: int) -> None:
    """Count nodes by type and by day of creation."""
    async with database.open() as backend:
        found = await backend.queries.get_creation_statistics(user_pk, timezone=timezone)
    if database.as_json:
        echo_json(found)
        return
    types, by_day = found["types"], found["ctime_by_day"]
    total = found["total"]
    table(
        f"{total:,} nodes",
        {"Type": "left", "Nodes": "right", "Share": "right"},
        (
            (name or "(none)", f"{number:,}", f"{number / total:.1%}")
            for name, number in sorted(types.items(), key=lambda item: -item[1])
        ),
    )
    draw_days(by_day, days)


def draw_days(by_day: Mapping[str, int], most: int) -> None:
    """Draw the last days as a bar chart in the terminal."""
    shown = sorted(by_day)[-most:] if most > 0 else []
    if not shown:
        return
    out = console()
    out.print(f"\n[bold]Nodes by day[/bold] (the last {len(shown)} of {len(by_day)} days with any)")
    largest = max(by_day[day] for day in shown)
    width = len(f"{largest:,}")
    for day in shown:
        number = by_day[day]
        out.print(f"{day}  {number:>{width},}  [cyan]{bar(number, largest, _BAR_WIDTH)}[/cyan]")


@click.command("closest-parents")
@click.argument("pks", type=int, nargs=-1, required=True)
@click.option(
    "--type",
    "node_type",
    default="data.core.structure.StructureData.",
    show_default=True,
    metavar="NODE_TYPE",
    help="The type looked for; in AiiDA 1.x's spelling too.",
)
@click.option(
    "--link-type",
    "link_types",
    multiple=True,
    type=click.Choice(sorted(LINK_TYPES)),
    help="Links to follow, may be repeated; all if not given.",
)
@command_options
async def closest_parents(
    database: Database, pks: Sequence[int], node_type: str, link_types: Sequence[str]
) -> None:
    """Find the closest ancestor of a type for each of the nodes PKS."""
    async with database.open() as backend:
        with progress_bar() as progress:
            task = progress.add_task("Walking up", total=len(pks))
            parents = await backend.queries.get_closest_parents(
                pks,
                node_type=node_type,
                link_types=link_types or None,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
    if database.as_json:
        echo_json(parents)
        return
    table(
        f"Closest {node_type} of {len(set(pks))} nodes",
        {"Node": "right", "Closest": "right"},
        ((pk, parents.get(pk, "none")) for pk in sorted(set(pks))),
    )


@click.group()
def nodes() -> None:
    """Delete nodes."""


@nodes.command("delete")
@click.argument("pks", type=int, nargs=-1, required=True)
@click.option("--follow", is_flag=True, help="Delete also what AiiDA's provenance rules ask for.")
@click.option(
    "--create-forward/--no-create-forward",
    default=True,
    help="With --follow: also what deleted calculations created.  [default: yes]",
)
@click.option(
    "--call-calc-forward/--no-call-calc-forward",
    default=True,
    help="With --follow: also calculations that deleted workflows called.  [default: yes]",
)
@click.option(
    "--call-work-forward/--no-call-work-forward",
    default=True,
    help="With --follow: also workflows that deleted workflows called.  [default: yes]",
)
@click.option("--strict", is_flag=True, help="Refuse if one of the nodes does not exist.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and stop.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@command_options
async def delete(
    database: Database,
    pks: Sequence[int],
    follow: bool,
    strict: bool,
    dry_run: bool,
    yes: bool,
    **switches: bool,
) -> None:
    """Delete the nodes PKS, with links, group memberships, comments and logs.

    What was made from them stays, unless --follow is given. Files in the
    repository stay until AiiDA's own maintenance (verdi storage maintain).
    """
    if database.as_json and not (yes or dry_run):
        raise InvalidInputError("with --json nobody is asked: add --yes or --dry-run")
    async with database.open() as backend:
        doomed = set(pks)
        if follow:
            doomed |= await backend.get_nodes_to_delete(pks, **switches)
        preview = await backend.preview_deletion(doomed, strict=strict)
        report = preview.counts
        if report.nodes and not database.as_json:
            _show_preview(preview)
        if report.nodes and not dry_run:
            if not (yes or click.confirm("Delete them?", default=False)):
                click.echo("Nothing was deleted.")
                return
            with working("Deleting"):
                report = await backend.delete_nodes_and_connections(doomed, strict=strict)
    _tell(database, report, dry_run=dry_run)


def _show_preview(preview: DeletionPreview) -> None:
    table(
        f"{preview.counts.nodes:,} nodes to delete",
        {"Type": "left", "Nodes": "right"},
        ((name or "(none)", f"{number:,}") for name, number in preview.types.items()),
    )
    click.echo(f"With them: {_counts(preview.counts)}.")


def _tell(database: Database, report: DeletionReport, *, dry_run: bool) -> None:
    if database.as_json:
        answer: dict[str, Any] = {"dry_run": dry_run, "deleted": report}
        echo_json(answer)
        return
    if report.missing:
        click.echo(f"Not in the database: {', '.join(map(str, report.missing[:20]))}.")
    if dry_run or not report.nodes:
        click.echo("Nothing was deleted.")
    else:
        click.echo(f"Deleted {report.nodes:,} nodes, {_counts(report)}.")


def _counts(report: DeletionReport) -> str:
    return (
        f"{report.links:,} links, {report.group_memberships:,} group memberships, "
        f"{report.comments:,} comments, {report.logs:,} logs"
    )
