"""The command line, on click and rich (the extra ``cli``)."""

from __future__ import annotations

import click

from aiidadb import __version__
from aiidadb.cli.bands import bands
from aiidadb.cli.closest_parents import closest_parents
from aiidadb.cli.demo import demo
from aiidadb.cli.exit_status import Commands
from aiidadb.cli.index import index
from aiidadb.cli.init import init
from aiidadb.cli.migrate import migrate
from aiidadb.cli.nodes import nodes
from aiidadb.cli.options import group_options
from aiidadb.cli.settings import settings
from aiidadb.cli.stats import stats
from aiidadb.cli.status import status

__all__ = ["aiidadb"]


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@group_options
@click.version_option(__version__, message="aiidadb %(version)s")
def aiidadb() -> None:
    """Query an AiiDA database, delete nodes, change settings, and migrate old databases.

    The database is the one that --profile NAME or --dsn URI names; without these, the one
    of the environment variable AIIDADB_DSN; if that is not set, that of AiiDA's default
    profile. The options below can stand before or after the command.

    \b
    To complete commands and options in bash (zsh: zsh_source, fish: fish_source):
      eval "$(_AIIDADB_COMPLETE=bash_source aiidadb)"
    """


for command in (status, init, migrate, stats, closest_parents, bands, nodes, settings, index, demo):
    aiidadb.add_command(command)
