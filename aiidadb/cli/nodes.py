"""``aiidadb nodes delete``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from aiidadb.cli.exit_status import FAILED
from aiidadb.cli.options import command_options
from aiidadb.cli.output.console import plural
from aiidadb.cli.output.json_output import echo_json
from aiidadb.cli.output.progress import progress_bar
from aiidadb.cli.output.questions import agreed
from aiidadb.cli.output.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiidadb.backend import Backend
    from aiidadb.cli.options import Database
    from aiidadb.queries.deletion import DeletionPreview, DeletionReport

__all__ = ["nodes"]

_MOST_SHOWN: Final = 20


@click.group()
def nodes() -> None:
    """Delete nodes."""


@nodes.command("delete", short_help="Delete nodes and what hangs on them.")
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
def delete(
    database: Database,
    /,
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
        raise click.UsageError("with --json nobody is asked: add --yes or --dry-run")
    if not (follow or all(switches.values())):
        raise click.UsageError("the switches --no-…-forward say how to --follow")

    async def look(backend: Backend) -> tuple[set[int], DeletionPreview]:
        doomed = set(pks)
        if follow:
            doomed |= await backend.get_nodes_to_delete(pks, **switches)
        return doomed, await backend.preview_deletion(doomed, strict=strict)

    doomed, preview = database.call(look, doing="Looking what hangs on them")
    report = preview.counts
    if not database.as_json:
        _show_preview(preview)
    if report.nodes and not dry_run:
        if not (yes or agreed("Delete them?")):
            click.echo("Nothing was deleted.")
            raise click.exceptions.Exit(FAILED)
        with progress_bar(shown=not database.as_json) as progress:
            task = progress.add_task("Deleting", total=report.nodes, count="")
            report = database.call(
                lambda backend: backend.delete_nodes_and_connections(
                    doomed,
                    strict=strict,
                    progress=lambda done, total: progress.update(
                        task, completed=done, total=total, count=f"{done:,} of {total:,}"
                    ),
                ),
                doing=None,
            )
    _tell(database, doomed, report, dry_run=dry_run)


def _tell(database: Database, doomed: set[int], report: DeletionReport, *, dry_run: bool) -> None:
    if database.as_json:
        gone = sorted(doomed.difference(report.missing))
        echo_json({"dry_run": dry_run, "pks": gone, "counts": report})
    elif dry_run or not report.nodes:
        click.echo("Nothing was deleted.")
    else:
        click.echo(f"Deleted {plural(report.nodes, 'node')}, {_counts(report)}.")


def _show_preview(preview: DeletionPreview) -> None:
    counts = preview.counts
    if counts.nodes:
        table(
            f"{plural(counts.nodes, 'node')} to delete",
            {"Type": "left", "Nodes": "right"},
            ((name or "(none)", f"{number:,}") for name, number in preview.types.items()),
        )
        click.echo(f"With them: {_counts(counts)}.")
    if counts.missing:
        shown = ", ".join(map(str, counts.missing[:_MOST_SHOWN]))
        more = len(counts.missing) - _MOST_SHOWN
        click.echo(f"Not in the database: {shown}{f' and {more:,} more' if more > 0 else ''}.")


def _counts(report: DeletionReport) -> str:
    return (
        f"{plural(report.links, 'link')}, {plural(report.group_memberships, 'group membership')}, "
        f"{plural(report.comments, 'comment')}, {plural(report.logs, 'log')}"
    )
