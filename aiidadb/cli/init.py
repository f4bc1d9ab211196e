"""``aiidadb init``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aiidadb.cli.options import command_options
from aiidadb.cli.output.console import echo, paragraph
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
    help=f"The schema version: {DJANGO_HEAD} for AiiDA 1.4 to 1.6, {MAIN_HEAD} for 2.4 to 2.9.",
)
@command_options
def init(database: Database, version: str) -> None:
    """Create AiiDA's schema in a new, empty database.

    AiiDA 2.x does not open a database that has no file container. It is created together
    with the schema, in the file repository that the profile or --repository names, and
    aiidadb cannot add it later. A DSN names no file repository: with --dsn, add
    --repository DIRECTORY. AiiDA 1.x needs no container.
    """
    database.call(
        lambda backend: backend.schema.initialise(version),
        doing="Creating the schema",
        schema_check=False,
    )
    repository = database.profile.repository if version == str(MAIN_HEAD) else None
    if database.as_json:
        echo_json({"schema_version": version, "repository": repository})
        return
    echo(f"Created the schema {version} in {database.profile.database}.")
    if repository is not None:
        echo(f"Created the file container in {repository}.")
    elif version == str(MAIN_HEAD):
        paragraph(
            "Created no file container, because no file repository was named. AiiDA itself does "
            "not open the database without one. To get one, drop the database, create it again, "
            "and run aiidadb init with --repository DIRECTORY."
        )
