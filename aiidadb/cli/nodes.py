"""``aiidadb nodes delete``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from aiidadb.cli.exit_status import FAILED
from aiidadb.cli.groups import Group
from aiidadb.cli.options import command_options, group_options
from aiidadb.cli.output.console import echo
from aiidadb.cli.output.json_output import echo_json
from aiidadb.cli.output.progress import progress_bar
from aiidadb.cli.output.questions import agreed
from aiidadb.cli.output.tables import table
from aiidadb.messages import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiidadb.backend import Backend
    from aiidadb.cli.options import Database
    from aiidadb.queries.deletion import DeletionPreview, DeletionReport

__all__ = ["nodes"]


@dataclass(frozen=True, slots=True)
class _Deletion:
    """What is to be deleted.

    Attributes:
        pks: The nodes.
        preview: What goes with them.
        asked: How many of the nodes were given by the user.
        spared: The nodes that stay though AiiDA's rules would delete them, ascending.
        spared_types: Node type to number of those, most frequent first.
    """

    pks: set[int]
    preview: DeletionPreview
    asked: int
    spared: tuple[int, ...] = ()
    spared_types: Mapping[str, int] = field(default_factory=dict)


@click.group(cls=Group)
@group_options
def nodes() -> None:
    """Delete nodes."""


@nodes.command("delete", short_help="Delete nodes and what depends on them.")
@click.argument("pks", type=int, nargs=-1, required=True)
@click.option(
    "--follow/--no-follow",
    default=True,
    help="Also delete what AiiDA's provenance rules require, or delete only the nodes PKS.  "
    "[default: follow]",
)
@click.option(
    "--create-forward/--no-create-forward",
    default=True,
    help="Also delete what deleted calculations created.  [default: yes]",
)
@click.option(
    "--call-calc-forward/--no-call-calc-forward",
    default=True,
    help="Also delete calculations that deleted workflows called.  [default: yes]",
)
@click.option(
    "--call-work-forward/--no-call-work-forward",
    default=True,
    help="Also delete workflows that deleted workflows called.  [default: yes]",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Delete nothing, and fail, if another session deletes one of the nodes in the meantime. "
    "Without this option, the others are deleted.",
)
@click.option("--dry-run", "-n", is_flag=True, help="Show what would be deleted, and stop.")
@click.option("--yes", "-y", "--force", "-f", is_flag=True, help="Do not ask for confirmation.")
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
    """Delete the nodes PKS, with their links, group memberships, comments and logs.

    What AiiDA's provenance rules require is deleted too, as with verdi node delete:
    calculations and workflows that used a deleted node as input, created it or returned
    it; workflows that called a deleted calculation or workflow; and what deleted
    calculations created and deleted workflows called. --no-follow keeps all of these.
    Files in the repository stay until AiiDA's own maintenance (verdi storage maintain).
    """
    if database.as_json and not (yes or dry_run):
        raise click.UsageError("--json cannot ask for confirmation: add --yes or --dry-run")
    if not (follow or all(switches.values())):
        raise click.UsageError(
            "the switches --no-…-forward apply only to the rules: drop --no-follow"
        )

    async def look(backend: Backend) -> _Deletion:
        asked = set(pks)
        ruled = await backend.get_nodes_to_delete(pks, **switches)
        doomed = asked | ruled if follow else asked
        preview = await backend.preview_deletion(doomed, strict=True)
        if follow or ruled == asked:
            return _Deletion(doomed, preview, len(asked))
        types = Counter((await backend.preview_deletion(ruled)).types)
        types.subtract(preview.types)
        return _Deletion(
            doomed, preview, len(asked), tuple(sorted(ruled - asked)), dict((+types).most_common())
        )

    deletion = database.call(look, doing="Looking for what depends on them")
    report = deletion.preview.counts
    if not database.as_json:
        _show(deletion, database.described, follow=follow)
    if not dry_run:
        question = f"Delete {plural(report.nodes, 'node')} from {database.described}?"
        if not (yes or agreed(question)):
            echo("Nothing was deleted.")
            raise click.exceptions.Exit(FAILED)
        with progress_bar(shown=not database.as_json) as progress:
            task = progress.add_task("Deleting", total=report.nodes, count="")
            report = database.call(
                lambda backend: backend.delete_nodes_and_connections(
                    deletion.pks,
                    strict=strict,
                    progress=lambda done, total: progress.update(
                        task, completed=done, total=total, count=f"{done:,} of {total:,}"
                    ),
                ),
                doing=None,
            )
    _tell(database, deletion, report, dry_run=dry_run)


def _tell(
    database: Database, deletion: _Deletion, report: DeletionReport, *, dry_run: bool
) -> None:
    if database.as_json:
        echo_json(
            {
                "dry_run": dry_run,
                "pks": sorted(deletion.pks.difference(report.missing)),
                "counts": report,
                "links_cut": deletion.preview.links_cut,
                "spared": deletion.spared,
            }
        )
    elif dry_run:
        echo("Nothing was deleted.")
    else:
        echo(f"Deleted {plural(report.nodes, 'node')}, {_counts(report)}.")


def _show(deletion: _Deletion, where: str, *, follow: bool) -> None:
    preview = deletion.preview
    counts = preview.counts
    more = counts.nodes - deletion.asked
    ruled = f", {more:,} of them by AiiDA's provenance rules" if more else ""
    table(
        f"{plural(counts.nodes, 'node')} to delete in {where}{ruled}",
        {"Type": "left", "Nodes": "right"},
        _by_type(preview.types),
    )
    echo(f"With them: {_counts(counts)}.")
    if follow:
        return
    if preview.links_cut:
        echo(f"This cuts {plural(preview.links_cut, 'link')} to nodes that stay.")
    if deletion.spared:
        echo()
        table(
            f"{plural(len(deletion.spared), 'more node')} that AiiDA's provenance rules would "
            "delete, and that stay",
            {"Type": "left", "Nodes": "right"},
            _by_type(deletion.spared_types),
        )


def _by_type(types: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name or "(none)", f"{number:,}") for name, number in types.items()]


def _counts(report: DeletionReport) -> str:
    return (
        f"{plural(report.links, 'link')}, {plural(report.group_memberships, 'group membership')}, "
        f"{plural(report.comments, 'comment')}, {plural(report.logs, 'log')}"
    )
