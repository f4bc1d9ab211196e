"""``aiidadb closest-parents``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from aiidadb.cli.names import require_node_type, require_nodes
from aiidadb.cli.options import command_options, link_types_option
from aiidadb.cli.output.console import visible
from aiidadb.cli.output.json_output import echo_json
from aiidadb.cli.output.progress import progress_bar
from aiidadb.cli.output.tables import table
from aiidadb.messages import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiidadb.backend import Backend
    from aiidadb.cli.options import Database

__all__ = ["closest_parents"]


@click.command("closest-parents", short_help="Find the closest ancestors of a given type.")
@click.argument("pks", type=int, nargs=-1, required=True)
@click.option(
    "--type",
    "node_type",
    default="data.core.structure.StructureData.",
    show_default=True,
    metavar="NODE_TYPE",
    help="The node type to look for, as AiiDA 1.x or 2.x spells it. It is matched exactly: nodes "
    "of its subclasses are not found.",
)
@link_types_option(default="all")
@command_options
def closest_parents(
    database: Database, pks: Sequence[int], node_type: str, link_types: Sequence[str]
) -> None:
    """Find the closest ancestor of a given type for each of the nodes PKS.

    The closest ancestor is the one reached through the fewest links; if several are equally
    close, the one with the highest pk.
    """
    asked = sorted(set(pks))
    # That a database has no structures at all is an answer, not a slip.
    typed = click.get_current_context().get_parameter_source("node_type")
    with progress_bar(shown=not database.as_json) as progress:
        task = progress.add_task("Walking up the links", total=len(asked), count="")

        async def ask(backend: Backend) -> dict[int, int]:
            await require_nodes(backend, asked)
            if typed is not ParameterSource.DEFAULT:
                await require_node_type(backend, node_type)
            return await backend.queries.get_closest_parents(
                asked,
                node_type=node_type,
                link_types=link_types or None,
                progress=lambda done, total: progress.update(
                    task, completed=done, total=total, count=f"{done:,} of {total:,}"
                ),
            )

        parents = database.call(ask, doing=None)
    if database.as_json:
        echo_json(parents)
        return
    table(
        f"Closest {visible(node_type)} of {plural(len(asked), 'node')}",
        {"Node": "right", "Closest": "right"},
        ((pk, parents.get(pk, "none")) for pk in asked),
    )
