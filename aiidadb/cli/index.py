"""``aiidadb index``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from aiidadb.cli.groups import Group
from aiidadb.cli.options import command_options, group_options
from aiidadb.cli.output.console import echo, visible
from aiidadb.cli.output.json_output import echo_json

if TYPE_CHECKING:
    from aiidadb.backend import Backend
    from aiidadb.cli.options import Database
    from aiidadb.migration.process_state_index import ProcessStateIndex
    from aiidadb.migration.report import MigrationProgress

__all__ = ["index"]


@click.group(cls=Group, short_help="Create and drop the index on process states.")
@group_options
def index() -> None:
    """Create and drop an index on the states of processes.

    AiiDA's schema has none, so the processes that are still active are found only by
    reading all of them. With the index, finding them takes the same time in a database of
    any size. AiiDA works as before, and the server keeps the index up to date. To see
    whether it is there, run aiidadb status --detailed.
    """


@index.command("create", short_help="Create the index on process states.")
@command_options
def create_index(database: Database) -> None:
    """Create the index on process states, if it is not there.

    The role must own AiiDA's tables. Meanwhile others can read nodes, but whoever writes
    them waits: about a second per million nodes, longer where attributes are large.
    Ctrl-C ends the command, and leaves nothing behind.
    """

    async def create(backend: Backend) -> tuple[bool, ProcessStateIndex | None]:
        created = await backend.schema.create_process_state_index(progress=_Waits())
        return created, await backend.schema.get_process_state_index()

    created, found = database.call(create, doing="Creating the index")
    if database.as_json:
        echo_json({"created": created, "index": found})
    elif created:
        echo(f"Created the index on process states in {database.described}.")
    else:
        echo(f"The index on process states is already in {database.described}.")


@index.command("drop", short_help="Drop the index on process states.")
@command_options
def drop_index(database: Database) -> None:
    """Drop the index on process states, if it is there, without asking for confirmation.

    No data are lost: aiidadb index create creates it again.
    """
    dropped = database.call(
        lambda backend: backend.schema.drop_process_state_index(progress=_Waits()),
        doing="Dropping the index",
    )
    if database.as_json:
        echo_json({"dropped": dropped})
    elif dropped:
        echo(f"Dropped the index on process states from {database.described}.")
    else:
        echo(f"There is no index on process states in {database.described}.")


class _Waits:
    """Shows what is waited for, each once."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def __call__(self, now: MigrationProgress) -> None:
        if now.what not in self._shown:
            self._shown.add(now.what)
            # Rich replaces sys.stderr while it draws a spinner there, so as to erase it first;
            # click.echo would write past that, into the spinner's line.
            sys.stderr.write(f"{visible(now.what)} …\n")
