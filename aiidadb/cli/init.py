"""``aiidadb init``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aiidadb.cli.options import command_options
from aiidadb.cli.output.console import echo
from aiidadb.cli.output.json_output import echo_json
from aiidadb.version.schema_version import DJANGO_HEAD, MAIN_HEAD

if TYPE_CHECKING:
    from aiidadb.cli.options import Database

__all__ = ["init"]


@click.command()
@click.option(
    "--to",
    "version",
    type=click.Choice([str(DJANGO_HEAD), str(MAIN_HEAD)]),
    default=str(MAIN_HEAD),
    show_default=True,
    help="The schema of AiiDA 1.4 to 1.6, or of 2.4 to 2.9.",
)
@command_options
def init(database: Database, version: str) -> None:
    """Create AiiDA's schema in a new, empty database.

    For AiiDA 2.x, where the profile or --repository names a file repository, the file
    container is created there too.
    """
    database.call(
        lambda backend: backend.schema.initialise(version), doing="Making", schema_check=False
    )
    repository = database.profile.repository if version == str(MAIN_HEAD) else None
    if database.as_json:
        echo_json({"schema_version": version, "repository": repository})
        return
    echo(f"Created the schema {version} in {database.profile.database}.")
    if repository is not None:
        echo(f"Created the file container in {repository}.")
    elif version == str(MAIN_HEAD):
        echo("Created no file container, which AiiDA itself needs: give --repository for one.")
